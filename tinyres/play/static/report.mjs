// What the library says of the state that is shown, and its report: Python makes both, where the page's own server is there.
import { described } from "./state.mjs";

// {sentences: {residual, plain}, html}; throws an Error in words. events: those up to this step.
export async function reported(state, shape, events, step) {
  const { data, seed, lr, skip, branch } = state, body = JSON.stringify({ ...described(state, shape), data, seed, lr, skip, branch, events, step });
  const answer = await fetch("report", { method: "POST", headers: { "Content-Type": "application/json" }, body }).catch(() => null);
  if (!answer) throw new Error("the server does not answer; start it again (tinyres play)");
  const told = await answer.json().catch(() => ({ error: `the server's answer cannot be read (${answer.status})` }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}

export function savedReport(html, step) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([html], { type: "text/html" }));
  link.download = `tinyres-step-${step}.html`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
