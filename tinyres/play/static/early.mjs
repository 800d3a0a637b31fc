// What the page waits for longest begins before its own modules are there.

const json = (path) => fetch(path).then((answer) => answer.json());

export const worker = new Worker("worker.mjs", { type: "module" });
worker.postMessage({ engine: "tr.wasm" });
export const about = json("about.json"), shipped = json("shipped.json");
