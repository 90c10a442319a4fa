"""What the installed command does, recorded: ``make golden`` says what has become different.

A scene plays fixed commands in a folder of its own and turns all that they print and write into
text. ``recorded/`` holds these texts; ``words.toml`` names words that are meant to be others now.
Only the command line and the files of a run are known here, no module of the package: those may
move and be renamed, and the recorded texts stay.
"""
