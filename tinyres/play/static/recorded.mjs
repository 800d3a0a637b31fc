// Gets the record of a net: what the server records, or what a static site was shipped with.
// A record is a uint32 with the length of a JSON text, that text, and the file of the program.

export class NotRecorded extends Error {}

export class Records {
  constructor(shipped) { this.shipped = shipped; this.alone = false; }

  async get(description) {
    const key = JSON.stringify(description), name = this.shipped.nets[key];
    const answer = name ? await fetch(name).catch(() => null) : this.shipped.server ? await this.asked(key) : null;
    if (!answer) {
      throw new NotRecorded(this.shipped.server
        ? "The server does not answer: what is shown goes on. Start it again (tinyres play) and change a control."
        : "This site was not shipped with that net: `tinyres play` on your machine records any. What is shown goes on.");
    }
    if (!answer.ok) throw new NotRecorded(await answer.json().then((said) => said.error, () => `the record cannot be read (${answer.status})`));
    const bytes = await answer.arrayBuffer(), length = new DataView(bytes).getUint32(0, true);
    return { ...JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length))), file: bytes.slice(4 + length) };
  }

  asked(key) {
    return fetch("record", { method: "POST", headers: { "Content-Type": "application/json" }, body: key }).catch(() => null);
  }
}
