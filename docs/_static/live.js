// What the live pictures share: panels of SVG that follow the width of the page, controls, handles, tables.
// A page holds <div class="live" data-picture="name"> with its data as JSON; live-name.js draws it.
(function () {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";

  function element(parent, tag, attributes, text) {
    const node = document.createElement(tag);
    set(node, attributes);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  function shape(parent, tag, attributes, text) {
    const node = document.createElementNS(SVG, tag);
    set(node, attributes);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  function set(node, attributes) {
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  }

  // A number as the page writes it: a true minus, and no minus before zero.
  function number(value, digits) {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", "−");
  }

  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * unit).find((k) => k >= rough * 0.999);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) out.push(i * step);
    return { at: out, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  // A panel: `back` is drawn anew at each change, `front` keeps the handles, which must not lose the focus.
  class Panel {
    constructor(host, { title, about, x, y, xLabel, yLabel, height, bare }) {
      const box = element(host, "div", { class: "panel" });
      element(box, "p", { class: "title" }, title);
      this.svg = shape(box, "svg", { role: "group", "aria-label": `${title}. ${about}` });
      this.back = shape(this.svg, "g", { "aria-hidden": "true" });
      this.front = shape(this.svg, "g", {});
      Object.assign(this, { x, y, xLabel, yLabel, bare, height: height || 300, width: 0 });
      this.margin = bare ? { left: 2, right: 2, top: 2, bottom: 2 } : { left: 48, right: 12, top: 10, bottom: 42 };
    }

    // Fit the panel to the width it has and draw the axes.
    clear() {
      this.width = Math.max(this.svg.parentNode.clientWidth, 200);
      set(this.svg, { width: this.width, height: this.height, viewBox: `0 0 ${this.width} ${this.height}` });
      this.back.replaceChildren();
      if (this.bare) return;
      const bottom = this.height - this.margin.bottom;
      const across = ticks(this.x[0], this.x[1], this.width < 340 ? 5 : 6);
      for (const value of across.at) {
        const at = this.sx(value);
        this.line([[value, this.y[0]], [value, this.y[1]]], "grid");
        shape(this.back, "text", { x: at, y: bottom + 16, "text-anchor": "middle" }, number(value, across.digits));
      }
      const up = ticks(this.y[0], this.y[1], 6);
      for (const value of up.at) {
        this.line([[this.x[0], value], [this.x[1], value]], "grid");
        const where = { x: this.margin.left - 6, y: this.sy(value) + 4, "text-anchor": "end" };
        shape(this.back, "text", where, number(value, up.digits));
      }
      this.line([[this.x[0], this.y[1]], [this.x[0], this.y[0]], [this.x[1], this.y[0]]], "axis thin");
      const middle = (this.margin.left + this.width - this.margin.right) / 2;
      shape(this.back, "text", { x: middle, y: this.height - 8, "text-anchor": "middle" }, this.xLabel);
      const half = (this.margin.top + bottom) / 2;
      const turned = { x: 12, y: half, "text-anchor": "middle", transform: `rotate(-90 12 ${half})` };
      shape(this.back, "text", turned, this.yLabel);
    }

    sx(value) {
      const span = this.width - this.margin.left - this.margin.right;
      return this.margin.left + ((value - this.x[0]) / (this.x[1] - this.x[0])) * span;
    }

    sy(value) {
      const span = this.height - this.margin.top - this.margin.bottom;
      return this.height - this.margin.bottom - ((value - this.y[0]) / (this.y[1] - this.y[0])) * span;
    }

    // The values under the pointer, kept within the axes.
    under(event) {
      const box = this.svg.getBoundingClientRect();
      const width = this.width - this.margin.left - this.margin.right;
      const height = this.height - this.margin.top - this.margin.bottom;
      const x = this.x[0] + ((event.clientX - box.left - this.margin.left) / width) * (this.x[1] - this.x[0]);
      const y = this.y[1] - ((event.clientY - box.top - this.margin.top) / height) * (this.y[1] - this.y[0]);
      return [clamp(x, this.x[0], this.x[1]), clamp(y, this.y[0], this.y[1])];
    }

    line(points, kind) {
      const path = points.map(([x, y]) => `${this.sx(x).toFixed(2)},${this.sy(y).toFixed(2)}`).join(" ");
      return shape(this.back, "polyline", { points: path, class: kind, fill: "none" });
    }

    dot(x, y, r, kind) {
      return shape(this.back, "circle", { cx: this.sx(x), cy: this.sy(y), r, class: `dot ${kind}` });
    }

    text(x, y, words, attributes) {
      return shape(this.back, "text", { x: this.sx(x), y: this.sy(y), ...attributes }, words);
    }

    // A point to be dragged, or moved with the arrow keys. `moved(x, y)` is told the new place, `step` one key's way.
    handle(r, step, where, moved) {
      const node = shape(this.front, "circle", { r, class: "handle", tabindex: 0, role: "slider" });
      node.addEventListener("pointerdown", (event) => {
        node.setPointerCapture(event.pointerId);
        node.focus();
        event.preventDefault();
      });
      node.addEventListener("pointermove", (event) => {
        if (node.hasPointerCapture(event.pointerId)) moved(...this.under(event));
      });
      node.addEventListener("keydown", (event) => {
        const way = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
        if (!way) return;
        event.preventDefault();
        const [x, y] = where();
        const far = event.shiftKey ? 5 : 1;
        moved(
          clamp(x + far * way[0] * step[0], this.x[0], this.x[1]),
          clamp(y + far * way[1] * step[1], this.y[0], this.y[1]),
        );
      });
      return node;
    }
  }

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // A slider with its value beside its name.
  function slider(host, { label, min, max, step, value, digits, unit }, changed) {
    const box = element(host, "label", { class: "control" });
    const words = element(box, "span", {});
    const input = element(box, "input", { type: "range", min, max, step });
    const show = () => {
      words.textContent = `${label}: ${number(Number(input.value), digits)}${unit || ""}`;
    };
    input.value = value;
    input.addEventListener("input", () => {
      show();
      changed(Number(input.value));
    });
    show();
    return {
      set: (to) => {
        input.value = to;
        show();
      },
    };
  }

  function choice(host, label, options, changed) {
    const box = element(host, "label", { class: "control" });
    element(box, "span", {}, label);
    const input = element(box, "select", {});
    for (const [value, words] of options) element(input, "option", { value }, words);
    input.addEventListener("change", () => changed(input.value));
    return { set: (to) => (input.value = to) };
  }

  function button(host, words, pressed) {
    const node = element(host, "button", { type: "button" }, words);
    node.addEventListener("click", pressed);
    return node;
  }

  // What the lines mean: [class, words] each.
  function key(host, entries) {
    const list = element(host, "ul", { class: "key" });
    for (const [kind, words] of entries) {
      const item = element(list, "li", {});
      const sample = shape(item, "svg", { viewBox: "0 0 30 10", "aria-hidden": "true" });
      shape(sample, "polyline", { points: "1,5 29,5", class: kind });
      item.append(words);
    }
  }

  function table(host, caption) {
    const box = element(host, "div", { class: "scroll" });
    const node = element(box, "table", { "aria-label": caption });
    return (rows) => {
      node.replaceChildren();
      rows.forEach((row, i) => {
        const line = element(node, "tr", {});
        row.forEach((cell, j) => {
          const head = i === 0 || j === 0;
          element(line, head ? "th" : "td", head ? { scope: i === 0 ? "col" : "row" } : {}, cell);
        });
      });
    };
  }

  // One sentence with what has changed; screen readers say it.
  const said = (host) => element(host, "output", { class: "said", "aria-live": "polite" });

  // Find the pictures of this kind, hand each its data, and draw it now and whenever its width changes.
  function picture(name, build) {
    for (const host of document.querySelectorAll(`.live[data-picture="${name}"]`)) {
      const data = JSON.parse(host.querySelector('script[type="application/json"]').textContent);
      const draw = build(host, data);
      let width = 0;
      new ResizeObserver(() => {
        if (host.clientWidth === width) return;
        width = host.clientWidth;
        draw();
      }).observe(host);
      draw();
      host.dataset.ready = "yes";
    }
  }

  window.mixedfxLive = { Panel, element, shape, set, number, clamp, slider, choice, button, key, table, said, picture };
})();
