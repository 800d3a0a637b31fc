// A cell of a notebook that shows live.mjs in a frame of its own, so that neither's styles or scripts reach the other.
export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts allow-downloads");
    frame.title = "A net and its gradient, live";
    frame.style.cssText = "width: 100%; height: 60rem; border: 0";
    const send = () => frame.contentWindow?.postMessage({ frame: model.get("_frame") }, "*");
    const hear = ({ source, data }) => {
      if (source !== frame.contentWindow) return;
      if (data.ready) send();
      if (data.height) frame.style.height = `${Math.ceil(data.height) + 4}px`;
    };
    addEventListener("message", hear);
    model.on("change:_frame", send);
    frame.srcdoc = model.get("_page");
    el.append(frame);
    return () => { removeEventListener("message", hear); model.off("change:_frame", send); };
  },
};
