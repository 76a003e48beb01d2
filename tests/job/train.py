"""A small training program: steps that take no time worth speaking of, and a file at the end."""

import json
import os
import sys
import time

steps, pause = int(os.environ.get("STEPS", "5")), float(os.environ.get("PAUSE", "0"))
print("training", os.environ.get("TENON_MODEL", "nothing"))
if "STARTS" in os.environ:
    # One byte for each start that ever happened.
    with open(os.environ["STARTS"], "a", encoding="utf-8") as file:
        file.write("x")
for step in range(1, steps + 1):
    print(json.dumps({"step": step, "steps": steps, "loss": 5 / step, "learning_rate": 1e-3}), flush=True)
    time.sleep(pause)
with open(os.path.join(os.environ["TENON_OUTPUT"], "model.bin"), "wb") as file:
    file.write(b"\0" * 1000)
sys.exit(int(os.environ.get("EXIT", "0")))
