"""How much examples count in a query: Rocchio's method."""

LIKED, DISLIKED = 0.75, 0.15
"""Beta and gamma of https://nlp.stanford.edu/IR-book/html/htmledition/the-rocchio71-algorithm-1.html: what is liked
tells more than what is not.
"""


def weights(liked_count: int, disliked_count: int) -> tuple[float, float]:
    """Of each liked and of each disliked example: each kind counts as its mean."""
    return LIKED / max(liked_count, 1), -DISLIKED / max(disliked_count, 1)
