"""What search measures of itself, beside what all services do."""

from prometheus_client import Counter

TEXTS = Counter("videosearch_search_texts", "Texts of queries, by source: embedded, or remembered.", ["source"])
SHARED = Counter("videosearch_search_shared", "Times that work under way for another call did for one more.")
