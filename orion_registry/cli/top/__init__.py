"""`orion-registry top`: the fleet, live, in a terminal.

Files: query (the words of the filter), row and fleet (services as they are shown, sorted and filtered), state and
control (what is on the screen, and what keys do to it); line, columns, header, detail, happening, helping and screen
put it all on a screen. All of these are pure. keys and terminal speak to a terminal, source to a registry, app joins
them; once prints one screen.

It draws with the escape sequences that every terminal knows, and needs no library: its screens are tables.
"""
