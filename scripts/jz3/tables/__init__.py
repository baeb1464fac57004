"""Result tables: scores beside published ones, costs, influence; intervals, text and origins."""
