// Lesson 1: move a person's points and see how far the model believes them.
(function () {
  "use strict";
  const math = window.mixedfxMath;
  const live = window.mixedfxLive;

  live.picture("shrinkage", (host, data) => {
    const people = data.people;
    const start = { sdLevel: Math.sqrt(data.D[0]), sdSlope: Math.sqrt(data.D[3]), sigma: data.sigma };
    const correlation = data.D[1] / (start.sdLevel * start.sdSlope);
    const state = { ...start, at: data.start, known: people[0].x.length, y: people.map((person) => [...person.y]) };

    const controls = live.element(host, "div", { class: "controls" });
    const names = people.map((person, i) => [i, person.name]);
    const who = live.choice(controls, "person", names, (value) => {
      state.at = Number(value);
      draw();
    });
    who.set(state.at);
    const known = live.slider(
      controls, { label: "days known of this person", min: 2, max: state.known, step: 1, value: state.known, digits: 0 },
      (value) => {
        state.known = value;
        draw();
      },
    );
    const spread = (label, name, max) =>
      live.slider(controls, { label, min: 0, max, step: 0.01, value: start[name], digits: 2 }, (value) => {
        state[name] = value;
        draw();
      });
    const sliders = {
      sdSlope: spread("sd of slopes", "sdSlope", 20),
      sdLevel: spread("sd of levels", "sdLevel", 80),
    };
    live.button(controls, "As it was", () => {
      Object.assign(state, start, { known: people[0].x.length, y: people.map((person) => [...person.y]) });
      known.set(state.known);
      for (const name of Object.keys(sliders)) sliders[name].set(start[name]);
      draw();
    });

    live.key(host, [
      ["all line dashes", "complete pooling: one line for all"],
      ["own line dots", "no pooling: this person alone"],
      ["model line", "partial pooling: the model"],
    ]);
    const panels = live.element(host, "div", { class: "panels" });
    const left = new live.Panel(panels, {
      title: "One person", about: "Reaction times of one person over the days, with three lines. Each point can be moved.",
      x: [-0.4, 9.4], y: [150, 500], xLabel: "days of sleep deprivation", yLabel: "reaction time (ms)",
    });
    const right = new live.Panel(panels, {
      title: "All people: from their own line to the model's",
      about: "Each person is a point: intercept across, slope up. Strokes run from a person's own line to the model's.",
      x: [180, 350], y: [-15, 35], xLabel: "intercept: day 0 (ms)", yLabel: "slope (ms a day)",
    });
    const show = live.table(host, "The lines of this person");
    const words = live.said(host);

    const days = people[0].x;
    const handles = days.map((day, i) =>
      left.handle(7, [0, 2], () => [day, state.y[state.at][i]], (_, y) => {
        state.y[state.at][i] = y;
        draw();
      }),
    );

    function draw() {
      const groups = people.map((person, g) => {
        const n = g === state.at ? state.known : person.x.length;
        return math.sums(person.x.slice(0, n), state.y[g].slice(0, n));
      });
      const s2 = state.sigma * state.sigma;
      const both = (correlation * state.sdLevel * state.sdSlope) / s2;
      const fit = math.mixed(groups, [state.sdLevel ** 2 / s2, both, both, state.sdSlope ** 2 / s2], true);
      const own = groups.map(math.leastSquares);
      const all = math.pooled(groups);
      const [mine, believed] = [own[state.at], fit.lines[state.at]];

      left.clear();
      const ends = [-0.4, 9.4];
      const along = (line) => ends.map((x) => [x, line[0] + line[1] * x]);
      left.line(along(all), "all line dashes");
      left.line(along(mine), "own line dots");
      left.line(along(believed), "model line");
      handles.forEach((node, i) => {
        const y = state.y[state.at][i];
        live.set(node, {
          cx: left.sx(days[i]), cy: left.sy(y), class: i < state.known ? "handle" : "handle off",
          tabindex: i < state.known ? 0 : -1, "aria-label": `person ${people[state.at].name}, day ${days[i]}`,
          "aria-orientation": "vertical", "aria-valuemin": 150, "aria-valuemax": 500, "aria-valuenow": y.toFixed(0),
          "aria-valuetext": `${y.toFixed(0)} ms`,
        });
      });

      right.clear();
      own.forEach((line, g) => {
        const wide = g === state.at;
        right.line([line, fit.lines[g]], wide ? "model line" : "all thin");
        right.dot(line[0], line[1], wide ? 5 : 3, "own");
        right.dot(fit.lines[g][0], fit.lines[g][1], wide ? 5 : 3, "model");
      });
      right.line([[fit.beta[0] - 6, fit.beta[1]], [fit.beta[0] + 6, fit.beta[1]]], "axis line");
      right.line([[fit.beta[0], fit.beta[1] - 1.5], [fit.beta[0], fit.beta[1] + 1.5]], "axis line");

      show([
        ["line", "intercept", "slope"],
        ["complete pooling", live.number(all[0], 1), live.number(all[1], 2)],
        ["no pooling", live.number(mine[0], 1), live.number(mine[1], 2)],
        ["partial pooling", live.number(believed[0], 1), live.number(believed[1], 2)],
      ]);
      const name = people[state.at].name;
      words.textContent =
        `Person ${name} alone: ${live.number(mine[1], 2)} ms a day; the model says ${live.number(believed[1], 2)}, ` +
        `where the average person has ${live.number(fit.beta[1], 2)}.`;
    }
    return draw;
  });
})();
