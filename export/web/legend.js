// The classes of a photo, largest first, each a button that shows only that class.

/** [{index, share}] of the classes that are in `labels`, largest first; shares add up to 1. */
export function sharesOf(labels, numClasses) {
  const counts = new Array(numClasses).fill(0);
  for (const label of labels) counts[label]++;
  return counts
    .map((count, index) => ({ index, share: count / labels.length }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share);
}

/** A share as people read it. */
export function percent(share) {
  if (share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

export class Legend {
  #list = document.getElementById("legend");
  #facts;
  #rows = new Map();

  /** @param {(index: number) => void} pick called with the class whose button is pressed. */
  constructor(facts, pick) {
    this.#facts = facts;
    this.#list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) pick(Number(button.dataset.index));
    });
  }

  /** Before the first photo: every class that the model knows, but the background. */
  showAll() {
    const known = this.#facts.classes.flatMap((entry, index) =>
      index === this.#facts.background ? [] : [this.#item("span", entry)],
    );
    this.#list.className = "known";
    this.#list.replaceChildren(...known);
  }

  /** The classes that are there; `only` is the only one that is shown, or null. */
  show(shares, only) {
    this.#list.className = "found";
    const items = shares.map(({ index, share }) => this.#row(index, share, only));
    // Moving rows would take the focus from the button that was pressed.
    const same = items.length === this.#list.children.length &&
      items.every((item, place) => item === this.#list.children[place]);
    if (!same) this.#list.replaceChildren(...items);
  }

  /** The row of a class, made once and kept, so that a camera's views do not flicker. */
  #row(index, share, only) {
    if (!this.#rows.has(index)) this.#rows.set(index, this.#newRow(index));
    const item = this.#rows.get(index);
    item.querySelector(".share").textContent = percent(share);
    item.querySelector("meter").value = share;
    item.firstChild.setAttribute("aria-pressed", index === only);
    item.classList.toggle("faded", only !== null && index !== only);
    return item;
  }

  #newRow(index) {
    const item = this.#item("button", this.#facts.classes[index]);
    const button = item.firstChild;
    button.type = "button";
    button.dataset.index = index;
    if (index === this.#facts.background) button.firstChild.className = "swatch none";
    const share = Object.assign(document.createElement("span"), { className: "share" });
    const bar = document.createElement("meter");
    bar.setAttribute("aria-hidden", "true"); // the number beside it says the same
    button.append(share, bar);
    return item;
  }

  #item(tag, { name, color }) {
    const item = document.createElement("li");
    const inner = document.createElement(tag);
    const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
    swatch.style.setProperty("--color", `rgb(${color.join(" ")})`);
    const label = Object.assign(document.createElement("span"), { textContent: name });
    inner.append(swatch, label);
    item.append(inner);
    return item;
  }
}
