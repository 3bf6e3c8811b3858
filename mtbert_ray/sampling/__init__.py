"""A topic-balanced sample of a task's training rows: the topic of every row, and each topic's quota of them."""
