"""The state of a page in its URL, so that a link shows what the sender saw.

A page asks for each of its values once, in order: from the URL, else from what this visitor chose
before on that page, else the default. `publish` then writes all of them into the URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st


class PageState:
    """The values of one page.

    Args:
        page: its name, which keeps equal keys of different pages apart.
    """

    def __init__(self, page: str) -> None:
        self._page = page
        self._memory: dict[str, list[str]] = st.session_state.setdefault(f"memory:{page}", {})
        self._url = {key: st.query_params.get_all(key) for key in st.query_params}
        # Another URL than the one written last was typed, followed or reached by "back".
        self._moved = self._url != st.session_state.get(f"url:{page}")

    def key(self, name: str) -> str:
        """The key of the widget that holds `name`."""
        return f"{self._page}:{name}"

    def one(self, name: str, options: Sequence[str], default: str | None = None) -> str | None:
        """Set the widget of one choice among `options`; None when there are no options."""
        if not options:
            return None
        chosen = [value for value in self._wanted(name) if value in options]
        fallback = default if default in options else options[0]
        if st.session_state.get(self.key(name)) not in options:  # it went away meanwhile
            st.session_state.pop(self.key(name), None)
        return self._put(name, chosen[0] if chosen else fallback)

    def many(self, name: str, options: Iterable[str], default: Sequence[str] = ()) -> list[str]:
        """Set the widget of several choices among `options`."""
        options = set(options)
        wanted = self._wanted(name, otherwise=default)
        if not options.issuperset(st.session_state.get(self.key(name), [])):
            st.session_state.pop(self.key(name), None)
        return self._put(name, [value for value in dict.fromkeys(wanted) if value in options])

    def text(self, name: str, default: str = "") -> str:
        """Set the widget of a free text, at most 200 characters of it."""
        return self._put(name, (self._wanted(name) or [default])[0][:200])

    def flag(self, name: str, default: bool = False) -> bool:
        """Set the widget of a yes or no."""
        wanted = self._wanted(name)
        return self._put(name, wanted[0] == "1" if wanted else default)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Set the widget of a number in [low, high]."""
        try:
            value = float((self._wanted(name) or [""])[0])
        except ValueError:
            value = default
        # Comparisons with NaN are false: it, too, falls back to the default.
        return self._put(name, value if low <= value <= high else default)

    def unknown(self, name: str, options: Iterable[str]) -> list[str]:
        """The values in the URL that are none of `options`."""
        options = set(options)
        return [value for value in self._url.get(name, []) if value not in options]

    def publish(self, **values: object) -> None:
        """Write the page's values, as its widgets returned them, into the URL."""
        for name, value in values.items():
            items = value if isinstance(value, list) else [value]
            self._memory[name] = [_word(item) for item in items if item not in (None, "")]
        url = {name: items for name, items in self._memory.items() if items}
        if url != self._url:
            st.query_params.from_dict(url)
        st.session_state[f"url:{self._page}"] = url

    def _wanted(self, name: str, otherwise: Sequence[str] = ()) -> list[str]:
        if self._moved and name in self._url:
            return self._url[name]
        if name in self._memory:
            return self._memory[name]
        return list(otherwise)

    def _put(self, name: str, value):  # type: ignore[no-untyped-def]
        key = self.key(name)
        if self._moved or key not in st.session_state:
            st.session_state[key] = value
        return st.session_state[key]


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)
