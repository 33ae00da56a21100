"""Pages that are made from the code while the documentation is built: reference, metrics, the life of a worker."""

from mkdocs.structure.files import File

from scheduler.commands import reference

PAGES = {
    "reference/codes.md": reference.codes,
    "reference/configuration.md": reference.configuration,
    "reference/command-line.md": reference.command_line,
    "reference/metrics.md": reference.metrics,
    "reference/lifecycle.md": reference.lifecycle,
    "reference/incidents.md": reference.incidents,
    "reference/availability.md": reference.availability,
}


def on_files(files, config):
    """Add the generated pages to the build."""
    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files
