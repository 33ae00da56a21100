"""Why a boot failed, as a code beside the words; of rows of before it is read once from their words."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_WORDS = (
    ("batch-system", ("enrol ",)),
    (
        "stock-out",
        ("no space", "not enough", "cannot allocate", "out of memory", "insufficient", "quota", "no free", "exhausted"),
    ),
    ("unreachable", ("unreachable", "connection refused", "did not answer", "deadline", "host lost", "connect to ")),
    ("no-answer", ("no answer within", "not asked")),
    ("network", ("network", "bridge", "vlan", "interface", "tap device", "mac address", " mtu", " vif")),
    ("unregistered", ("did not register with",)),
    (
        "image",
        (
            "no such file",
            "no such volume",
            "not exist",
            "cannot access storage",
            "not found",
            "is missing",
            "image.path: there is no ",
        ),
    ),
)


def upgrade() -> None:
    """Add the columns, and fill them from what the words say; the first that fits."""
    for table, column, words in (("boots", "failure", "cause"), ("workers", "boot_failure", "boot_error")):
        op.add_column(table, sa.Column(column, sa.String(20), nullable=False, server_default="unknown"))
        told = sa.table(table, sa.column(column), sa.column(words))
        text = sa.func.lower(told.c[words])
        cases = [(sa.or_(*(text.contains(word) for word in some)), code) for code, some in _WORDS]
        op.execute(told.update().where(told.c[words] != "").values({column: sa.case(*cases, else_="unknown")}))
