// Lesson 7: draw one more data set, and count how often the interval holds the truth.
(function () {
  "use strict";
  const math = window.mixedfxMath;
  const live = window.mixedfxLive;
  const SHOWN = 40;
  const Z = 1.959963984540054;

  live.picture("sampling", (host, data) => {
    const truth = data.truth;
    const state = { people: data.n, seed: 1, kind: "t" };
    const kinds = { t: "t, n − 1 df", z: "1.96 instead of t", p: "one regression on all rows" };

    const controls = live.element(host, "div", { class: "controls" });
    for (const [count, words] of [[1, "One more data set"], [100, "100 more"], [1000, "1000 more"]])
      live.button(controls, words, () => {
        for (let i = 0; i < count; i++) more();
        draw();
      });
    live.button(controls, "Start again", () => {
      restart();
      draw();
    });
    live.slider(controls, { label: "people", min: 4, max: 40, step: 1, value: state.people, digits: 0 }, (value) => {
      state.people = value;
      restart();
      draw();
    });
    live.choice(controls, "interval shown", Object.entries(kinds), (value) => {
      state.kind = value;
      draw();
    });
    const box = live.element(controls, "label", { class: "control" });
    live.element(box, "span", {}, "seed");
    const seed = live.element(box, "input", { type: "number", min: 0, max: 999999, step: 1, value: state.seed });
    seed.addEventListener("change", () => {
      state.seed = live.clamp(Math.round(Number(seed.value)) || 0, 0, 999999);
      seed.value = state.seed;
      restart();
      draw();
    });

    const panels = live.element(host, "div", { class: "panels" });
    const first = new live.Panel(panels, {
      title: "The last data set", about: "The lines of all people in the data set drawn last, and the mean line.",
      x: [0, 9], y: [100, 600], xLabel: "days", yLabel: "reaction time (ms)", height: 280,
    });
    const reach = 3.6;
    const limits = () => {
      const sd = trueSe();
      return [truth.beta[1] - reach * 1.4 * sd, truth.beta[1] + reach * 1.4 * sd];
    };
    const second = new live.Panel(panels, {
      title: `The last ${SHOWN} intervals`, about: "95 % intervals of the mean slope; those that miss the truth are red.",
      x: [0, 1], y: [0, SHOWN], xLabel: "mean slope (ms a day)", yLabel: "data set", height: 280,
    });
    const third = new live.Panel(panels, {
      title: "All estimates", about: "Histogram of the estimates, with the curve of their true distribution.",
      x: [0, 1], y: [0, 1], xLabel: "mean slope (ms a day)", yLabel: "density", height: 280,
    });
    live.key(host, [
      ["axis line dashes", "the truth"], ["good line", "interval that holds it"], ["bad line", "interval that misses it"],
      ["model line", "true sampling distribution"],
    ]);
    const show = live.table(host, "Coverage so far");
    const words = live.said(host);

    let chance;
    let found;
    let last;
    let factors;

    function trueSe() {
      const mean = data.x.reduce((sum, value) => sum + value, 0) / data.x.length;
      const sxx = data.x.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      return Math.sqrt((truth.D[3] + truth.sigma ** 2 / sxx) / state.people);
    }

    function restart() {
      chance = math.generator(state.seed);
      found = [];
      last = null;
      const n = state.people;
      factors = { t: math.tTwoSided(0.95, n - 1), z: Z, p: math.tTwoSided(0.95, n * data.x.length - 2) };
      more();
    }

    function more() {
      last = math.study(chance, state.people, data.x, truth);
      found.push(math.meanSlope(data.x, last));
    }

    const half = (one, kind) => factors[kind] * (kind === "p" ? one.sePooled : one.se);
    const holds = (one, kind) => Math.abs(one.estimate - truth.beta[1]) <= half(one, kind);

    function draw() {
      const beta = truth.beta[1];
      const now = found[found.length - 1];
      first.clear();
      const groups = last.map((y) => math.sums(data.x, y));
      groups.map(math.leastSquares).forEach((line) => first.line([0, 9].map((x) => [x, line[0] + line[1] * x]), "all thin"));
      const mean = math.pooled(groups);
      first.line([0, 9].map((x) => [x, mean[0] + mean[1] * x]), "model line");

      second.x = third.x = limits();
      second.clear();
      second.line([[beta, 0], [beta, SHOWN]], "axis line dashes");
      const from = Math.max(found.length - SHOWN, 0);
      found.slice(from).forEach((one, i) => {
        const reachOf = half(one, state.kind);
        const kind = holds(one, state.kind) ? "good" : "bad";
        const within = (value) => live.clamp(value, second.x[0], second.x[1]);
        const ends = [within(one.estimate - reachOf), within(one.estimate + reachOf)];
        second.line([[ends[0], i + 0.5], [ends[1], i + 0.5]], `${kind} line`);
        second.dot(within(one.estimate), i + 0.5, 2, "");
      });

      const sd = trueSe();
      const bins = 31;
      const width = (third.x[1] - third.x[0]) / bins;
      const counts = new Array(bins).fill(0);
      for (const one of found) counts[live.clamp(Math.floor((one.estimate - third.x[0]) / width), 0, bins - 1)] += 1;
      const heights = counts.map((count) => count / (found.length * width));
      const top = 0.4 / sd;
      third.y = [0, 1.15 * Math.max(top, found.length < 50 ? top : Math.max(...heights))];
      third.clear();
      heights.forEach((height, i) => {
        const x = third.x[0] + i * width;
        const y = third.sy(Math.min(height, third.y[1]));
        const size = { width: third.sx(x + width) - third.sx(x) - 1, height: third.sy(0) - y };
        if (height > 0) live.shape(third.back, "rect", { x: third.sx(x), y, ...size, class: "bar" });
      });
      const curve = Array.from({ length: 121 }, (_, i) => third.x[0] + (i / 120) * (third.x[1] - third.x[0]));
      const density = (x) => Math.exp(-0.5 * ((x - beta) / sd) ** 2) / (sd * Math.sqrt(2 * Math.PI));
      third.line(curve.map((x) => [x, density(x)]), "model line");
      third.line([[beta, 0], [beta, third.y[1]]], "axis line dashes");

      const share = (kind) => found.filter((one) => holds(one, kind)).length / found.length;
      const length = (kind) => (2 * found.reduce((sum, one) => sum + half(one, kind), 0)) / found.length;
      show([
        ["95 % interval", "held the truth", "mean length"],
        ...Object.entries(kinds).map(([kind, name]) => [
          name, `${live.number(100 * share(kind), 1)} %`, live.number(length(kind), 2),
        ]),
      ]);
      const singular = found.filter((one) => !one.inside).length;
      words.textContent =
        `Data set ${found.length}: mean slope ${live.number(now.estimate, 2)}, standard error ${live.number(now.se, 2)}, ` +
        `${now.df} df; the truth, ${live.number(beta, 2)}, was held by ${found.filter((one) => holds(one, state.kind)).length} of ` +
        `${found.length}. Best fit at the boundary: ${singular}.`;
    }
    restart();
    return draw;
  });
})();
