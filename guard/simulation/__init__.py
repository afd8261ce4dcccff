"""Simulated traffic for those who have no logs: ordinary people and programs, and campaigns in the shapes that are known.

    population = Population(days=4, accounts=1000, seed=1, campaigns=[Chosen(SHAPES["hydra"], 100)])
    for line in population.lines(): ...

``lexicon.py`` and ``prompts.py`` are what is asked, ``owners.py`` by whom, ``ordinary.py`` and ``campaigns.py`` when and why;
``traffic.py`` puts them in order of time. ``figures.py`` judges decisions by the labels. ``operators.py`` is a campaign that
hears what it is answered and reacts, and ``loop.py`` lets it play against guard.
"""
