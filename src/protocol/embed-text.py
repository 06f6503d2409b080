"""Writes text files as C character arrays: embed-text.py OUTPUT NAME=FILE…"""
import sys

output, pairs = sys.argv[1], sys.argv[2:]
with open(output, "w", encoding="ascii") as out:
    out.write('#include "protocol/varlink.h"\n')
    for pair in pairs:
        name, path = pair.split("=", 1)
        with open(path, "rb") as file:
            data = file.read()
        assert b"\0" not in data, path
        out.write(f"const char {name}[] = {{\n")
        for at in range(0, len(data), 16):
            out.write("    " + " ".join(f"{byte}," for byte in data[at : at + 16]) + "\n")
        out.write("    0};\n")
