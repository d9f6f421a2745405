"""Who watches a run. Views are told; they are never asked, and nothing here can influence what is sent."""
