"""Graphs and what follows from them: neighbors (`topology`), mixing weights (`mixing`), spectral gap (`facts`).

Importing any module here loads numpy and msgspec alone; scipy, networkx and matplotlib are loaded where one is needed.
"""
