"""The inks of figures that the report exchanges for its page's colours (light or dark).

Each value is used for nothing else; hence a white that is not quite white.
"""

PAPER_INK, INK, QUIET, FAINT = "#fffffe", "#1f2329", "#6e7782", "#d3d8de"
BLUE = "#0072b2"  # the one colour of the set that is too dark for a dark page
PAGE_COLOURS = {
    PAPER_INK: "var(--page)",
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    FAINT: "var(--faint)",
    BLUE: "var(--blue)",
}
