// Something of each kind that the driver's own scenario handles.
const main = document.querySelector("main");

document.querySelector("#add").onclick = () => setTimeout(() => {
  main.append(Object.assign(document.createElement("p"), { id: "later", textContent: "added" }));
}, 200);

const files = document.querySelector("input[type=file]");
files.onchange = () => { document.querySelector("#files").textContent = [...files.files].map(({ name }) => name).join(" "); };

customElements.define("driven-element", class extends HTMLElement {
  connectedCallback() {
    // The driver types only into what it can see to have the focus: not into a closed root.
    const root = this.attachShadow({ mode: "open" });
    const field = Object.assign(document.createElement("input"), { type: "text", name: "field", ariaLabel: "Words" });
    const output = document.createElement("output");
    field.oninput = () => { output.textContent = field.value; };
    root.append(field, output);
  }
});

// Something lies over this one.
const cover = document.createElement("div");
cover.style.cssText = "position: absolute; inset: 0";
const place = document.querySelector("#place");
place.style.position = "relative";
place.append(cover);
