// Lesson 13: how many people a comparison of two mean slopes needs.
(function () {
  "use strict";
  const math = window.mixedfxMath;
  const live = window.mixedfxLive;
  const MOST = 100;

  live.picture("power", (host, data) => {
    const state = { ...data.start };
    const controls = live.element(host, "div", { class: "controls" });
    const sliders = {};
    const make = (name, label, min, max, step, digits) => {
      sliders[name] = live.slider(controls, { label, min, max, step, value: state[name], digits }, (value) => {
        state[name] = value;
        draw();
      });
    };
    make("n", "people in each arm", 2, MOST, 1, 0);
    make("effect", "difference of slopes (ms a day)", 0, 15, 0.1, 1);
    make("visits", "visits, one a day", 3, 15, 1, 0);
    make("sdSlope", "sd of slopes", 0, 15, 0.01, 2);
    make("sigma", "residual sd", 1, 60, 0.01, 2);
    live.button(controls, "As in the pilot study", () => {
      Object.assign(state, data.start);
      for (const name of Object.keys(sliders)) sliders[name].set(state[name]);
      draw();
    });

    live.key(host, [["model line", "power"], ["good line dashes", "80 %"], ["all line dots", "if nobody's slope differed"]]);
    const panels = live.element(host, "div", { class: "panels" });
    const left = new live.Panel(panels, {
      title: "Power and people", about: "Power over the number of people in each arm; the point can be moved.",
      x: [0, MOST], y: [0, 1], xLabel: "people in each arm", yLabel: "power",
    });
    const right = new live.Panel(panels, {
      title: "Power and effect", about: "Power over the difference of slopes, for this number of people.",
      x: [0, 15], y: [0, 1], xLabel: "difference of slopes (ms a day)", yLabel: "power",
    });
    const show = live.table(host, "What goes with this design");
    const words = live.said(host);
    const power = (change) => math.slopeDesign({ ...state, alpha: 0.05, ...change });

    const change = (name, value) => {
      state[name] = value;
      sliders[name].set(value);
      draw();
    };
    const byPeople = left.handle(8, [1, 0], () => [state.n, 0], (x) => change("n", live.clamp(Math.round(x), 2, MOST)));
    const byEffect = right.handle(8, [0.1, 0], () => [state.effect, 0], (x) => change("effect", Math.round(10 * x) / 10));

    function draw() {
      const here = power({});
      const sizes = Array.from({ length: MOST - 1 }, (_, i) => i + 2);
      left.clear();
      left.line([[0, 0.8], [MOST, 0.8]], "good line dashes");
      left.line(sizes.map((n) => [n, power({ n, sdSlope: 0 }).power]), "all line dots");
      left.line(sizes.map((n) => [n, power({ n }).power]), "model line");
      right.clear();
      right.line([[0, 0.8], [15, 0.8]], "good line dashes");
      const effects = Array.from({ length: 76 }, (_, i) => i / 5);
      right.line(effects.map((effect) => [effect, power({ effect }).power]), "model line");
      const percent = `${live.number(100 * here.power, 1)} %`;
      const place = (panel, node, value, max, label) =>
        live.set(node, {
          cx: panel.sx(value), cy: panel.sy(here.power), "aria-label": label, "aria-valuemin": 0, "aria-valuemax": max,
          "aria-valuenow": value, "aria-valuetext": `${value}: power ${percent}`,
        });
      place(left, byPeople, state.n, MOST, "people in each arm");
      place(right, byEffect, state.effect, 15, "difference of slopes");

      const need = math.smallest({ ...state, alpha: 0.05 }, 0.8, 2000);
      show([
        ["this design", "value"],
        ["power", percent],
        ["standard error of the difference", live.number(here.se, 2)],
        ["degrees of freedom", String(here.df)],
        ["people in each arm for 80 %", need === null ? "more than 2000" : String(need)],
      ]);
      const risk = here.zero > 0.05;
      words.textContent =
        `${state.n} people in each arm find a difference of ${live.number(state.effect, 1)} with a power of ${percent}.` +
        (risk
          ? ` But in ${live.number(100 * here.zero, 0)} % of such studies the variance of slopes would be estimated as zero, ` +
            "where the formula promises too much: mfx.power simulates instead."
          : "");
    }
    return draw;
  });
})();
