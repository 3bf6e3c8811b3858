"""Reports: a sweep's journal to tables, figures and pages. Needs no torch, no Ray and no GPU."""
