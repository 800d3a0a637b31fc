// The state of the page as a Python script: the same nets, rows and changes, and so the same losses.

const quoted = (value) => (value === null ? "None" : typeof value === "string" ? `"${value}"` : Object.is(value, true) ? "True" : String(value));

export function scriptOf(state, about, steps, data) {
  const { skip, branch, lr, seed } = state, net = ["block", "blocks", "units", "features", "classes", "batch", "optimizer", "initializer", "activation"];
  const initializer = state.initializer === "preset" ? null : state.initializer;
  const named = { ...state, initializer, features: data.features, classes: data.classes };
  const [room, call] = data.name === "own" ? ["table", `read(${JSON.stringify(data.file)})`] : ["data", `load("${data.name}")`];
  return `"""What tinyres play showed at step ${steps}; the losses are those of the page to the last bit."""
import os

os.environ["TINYRES_ISA"] = "generic"  # the arithmetic of WebAssembly

from tinyres.play.nets import Net
from tinyres.play.replay import replayed
from tinyres.play.${room} import ${call.split("(")[0]}

data = ${call}
x, y = data.x[: data.trained], data.y[: data.trained]
net = Net(${net.map((name) => `${name}=${quoted(named[name])}`).join(", ")})
events = [${state.events.map(([step, name, value]) => `(${step}, "${name}", ${value})`).join(", ")}]  # step, what was changed, to what
with_skips = replayed(net, x, y, steps=${steps}, seed=${seed}, lr=${lr}, skip=${skip}, branch=${branch}, events=events)
without = replayed(net, x, y, steps=${steps}, seed=${seed}, lr=${lr}, skip=0, branch=${branch}, events=[e for e in events if not e[1].startswith("skip")])
for step, (a, b) in enumerate(zip(with_skips, without), 1):
    print(step, repr(float(a)), repr(float(b)))
`;
}
