"""Statuses in the words of OICP, as the open data of Switzerland has them."""
