// Lesson 3: move the two standard deviations over the likelihood and see the lines that go with them.
(function () {
  "use strict";
  const math = window.mixedfxMath;
  const live = window.mixedfxLive;
  const LEVELS = [1.39, 5.99, 9.21, 20, 40]; // chi-squared on 2 df: 50, 95 and 99 per cent; then far away

  // The pieces of a contour within one cell of the grid, each from edge to edge.
  function pieces(corners, level) {
    const cuts = [];
    for (let i = 0; i < 4; i++) {
      const [p, q] = [corners[i], corners[(i + 1) % 4]];
      if (p[2] < level === q[2] < level) continue;
      const share = (level - p[2]) / (q[2] - p[2]);
      cuts.push([p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])]);
    }
    return cuts.length === 4 ? [[cuts[0], cuts[1]], [cuts[2], cuts[3]]] : cuts.length === 2 ? [cuts] : [];
  }

  live.picture("surface", (host, data) => {
    const groups = data.people.map((person) => math.sums(person.x, person.y));
    const own = groups.map(math.leastSquares);
    const [across, up] = data.axes;
    const state = { theta: [...data.start] };
    const at = (theta) => math.mixed(groups, [theta[0] ** 2, 0, 0, theta[1] ** 2], true);
    const best = at(data.estimate);

    const controls = live.element(host, "div", { class: "controls" });
    const ranges = [across, up].map((axis) => [axis[0], axis[axis.length - 1]]);
    const sliders = ["theta of levels", "theta of slopes"].map((label, k) =>
      live.slider(
        controls,
        { label, min: ranges[k][0], max: ranges[k][1], step: 0.001, value: state.theta[k], digits: 3 },
        (value) => {
          state.theta[k] = value;
          draw();
        },
      ),
    );
    const to = (theta) => {
      state.theta = [...theta];
      sliders.forEach((slider, k) => slider.set(theta[k]));
      draw();
    };
    live.button(controls, "To the estimate", () => to(data.estimate));
    live.button(controls, "No pooling", () => to([ranges[0][1], ranges[1][1]]));
    live.button(controls, "Nearly complete pooling", () => to([ranges[0][0], ranges[1][0]]));

    const panels = live.element(host, "div", { class: "panels" });
    const left = new live.Panel(panels, {
      title: "The deviance above its minimum",
      about: "Contours over the two parameters; the point can be moved with the arrow keys.",
      x: ranges[0], y: ranges[1], xLabel: "theta of levels: sd / sigma", yLabel: "theta of slopes", height: 330,
    });
    const right = new live.Panel(panels, {
      title: "The lines that go with it", about: "A small picture of each person: points, own line, the model's line.",
      x: [0, 1], y: [0, 1], bare: true,
    });
    live.key(host, [["own line dots", "this person alone"], ["model line", "the model at this theta"]]);
    const show = live.table(host, "What goes with this theta");
    const words = live.said(host);

    const dot = left.handle(9, [0.02, 0.005], () => state.theta, (x, y) => to([x, y]));

    function contours() {
      const size = [(across[1] - across[0]) / 2, (up[1] - up[0]) / 2];
      for (let i = 0; i < across.length; i++)
        for (let j = 0; j < up.length; j++) {
          const shade = Math.exp(-data.deviance[i][j] / 2);
          if (shade < 0.004) continue;
          const [x, y] = [left.sx(Math.max(across[i] - size[0], across[0])), left.sy(Math.min(up[j] + size[1], ranges[1][1]))];
          const width = left.sx(Math.min(across[i] + size[0], ranges[0][1])) - x;
          const height = left.sy(Math.max(up[j] - size[1], up[0])) - y;
          live.shape(left.back, "rect", { x, y, width, height, class: "shade", opacity: (0.55 * shade).toFixed(3) });
        }
      for (const level of LEVELS) {
        let path = "";
        let named = null;
        for (let i = 0; i + 1 < across.length; i++)
          for (let j = 0; j + 1 < up.length; j++) {
            const corner = (a, b) => [across[a], up[b], data.deviance[a][b]];
            const corners = [corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)];
            for (const [p, q] of pieces(corners, level)) {
              const [a, b] = [p, q].map(([x, y]) => `${left.sx(x).toFixed(1)} ${left.sy(y).toFixed(1)}`);
              path += `M${a}L${b}`;
              if (!named || p[1] > named[1]) named = p;
            }
          }
        live.shape(left.back, "path", { d: path, class: level === 5.99 ? "model line" : "all thin" });
        if (named) left.text(named[0], named[1], String(level), { dy: 4, "text-anchor": "middle" });
      }
    }

    function small(fit) {
      const columns = right.svg.parentNode.clientWidth < 330 ? 3 : 6;
      right.height = Math.ceil(own.length / columns) * (columns === 3 ? 80 : 108);
      right.clear();
      const [width, height] = [right.width / columns, right.height / Math.ceil(own.length / columns)];
      data.people.forEach((person, g) => {
        const [x0, y0] = [(g % columns) * width, Math.floor(g / columns) * height];
        const sx = (x) => x0 + 5 + (x / 9) * (width - 10);
        const sy = (y) => y0 + height - 4 - ((y - 190) / 290) * (height - 8);
        const frame = { x: x0 + 1, y: y0 + 1, width: width - 2, height: height - 2, fill: "none", class: "grid" };
        live.shape(right.back, "rect", frame);
        live.shape(right.back, "text", { x: x0 + 5, y: y0 + 13 }, person.name);
        person.x.forEach((x, i) => live.shape(right.back, "circle", { cx: sx(x), cy: sy(person.y[i]), r: 1.6, class: "dot" }));
        for (const [line, kind] of [[own[g], "own line dots"], [fit.lines[g], "model line"]]) {
          const points = [0, 9].map((x) => `${sx(x)},${sy(line[0] + line[1] * x)}`).join(" ");
          live.shape(right.back, "polyline", { points, class: kind });
        }
      });
    }

    function draw() {
      const fit = at(state.theta);
      const above = fit.deviance - best.deviance;
      left.clear();
      contours();
      left.dot(data.estimate[0], data.estimate[1], 4, "model");
      live.set(dot, {
        cx: left.sx(state.theta[0]), cy: left.sy(state.theta[1]), "aria-label": "theta of levels and of slopes",
        "aria-valuemin": 0, "aria-valuemax": live.number(ranges[0][1], 3), "aria-valuenow": state.theta[0].toFixed(3),
        "aria-valuetext": `levels ${state.theta[0].toFixed(3)}, slopes ${state.theta[1].toFixed(3)}, deviance ${above.toFixed(2)} above its minimum`,
      });
      small(fit);
      show([
        ["", "here", "at the estimate"],
        ["deviance above its minimum", live.number(above, 2), live.number(0, 2)],
        ["sigma (ms)", live.number(fit.sigma, 2), live.number(best.sigma, 2)],
        ["sd of levels (ms)", live.number(state.theta[0] * fit.sigma, 2), live.number(data.estimate[0] * best.sigma, 2)],
        ["sd of slopes (ms a day)", live.number(state.theta[1] * fit.sigma, 2), live.number(data.estimate[1] * best.sigma, 2)],
      ]);
      words.textContent =
        `The deviance here is ${live.number(above, 2)} above its minimum: ` +
        (above < 5.99 ? "within" : "outside") + " the 95 % region (5.99, the thick contour).";
    }
    return draw;
  });
})();
