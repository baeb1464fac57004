"""Problem sets, of any shape as one table (`prepare`), and word problems of our own."""
