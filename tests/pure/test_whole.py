"""A file is there whole, and of what failed nothing is left beside it."""

import stat

import pytest

from environments.whole import written_whole


def test_a_file_is_replaced_whole_for_its_owner_alone_if_that_is_said(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with written_whole(path, 0o600) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_what_it_led_to_is_left(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a.json").symlink_to("victim")
    with written_whole(tmp_path / "a.json") as file:
        file.write(b"new")
    assert ((tmp_path / "victim").read_text(), (tmp_path / "a.json").is_symlink()) == ("mine", False)


def test_of_what_fails_nothing_is_left(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(IsADirectoryError), written_whole(tmp_path / "a.json") as file:
        file.write(b"new")
    with pytest.raises(ValueError, match="no"), written_whole(tmp_path / "b.json"):
        raise ValueError("no")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
