"""The reader of commands, and that no command of the documentation escapes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import SHELLS, blocks, commands, matches
from tests.docs.pages import GUIDES, PAGES, README

PAGE = """\
# Title

```console
$ one \\
> --flag
printed …
$ two
```

<!-- not run: it needs a Jetson -->
```console
$ three
```

```yaml
$ four: 4
```
"""


def test_commands_are_read_with_what_is_shown_of_their_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = [(command.place, command.text, command.shown) for command in commands(page)]
    assert found == [("page.md:4", "one \\\n--flag", ["printed …"]), ("page.md:7", "two", [])]


@pytest.mark.parametrize(
    ("shown", "missed"),
    [
        (["a", "b"], None),
        (["b", "a"], "a"),
        (["… fourty-two …"], None),
        (["x"], "x"),
        (["…", "a", "…", "b", "…"], None),
        (["a.*"], "a.*"),
    ],
)
def test_shown_lines_are_found_in_their_order(shown: list[str], missed: str | None) -> None:
    assert matches(shown, "  a\nit is fourty-two %\nb\n") == missed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_commands_stand_in_console_blocks_of_guides_or_say_why_no_test_runs_them(page: Path) -> None:
    for block in blocks(page):
        if block.language in SHELLS and block.is_run:
            assert page in (*GUIDES, README), f"{page}: only guides, and the README, have commands that tests run"
            assert block.language == "console", f"{page}: a block of commands has the language 'console'"


def test_every_guide_has_commands() -> None:
    assert GUIDES
    assert all(any(commands(page)) for page in GUIDES)
