// The formulas of the live pictures. Nothing here touches the page, so that the tests compare every function with Python.
(function (root) {
  "use strict";

  // ---------------------------------------------------------------- distributions

  const LANCZOS = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];

  function logGamma(x) {
    if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * x))) - logGamma(1 - x);
    let sum = LANCZOS[0];
    for (let i = 1; i < 9; i++) sum += LANCZOS[i] / (x - 1 + i);
    const t = x + 6.5;
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
  }

  // The regularised incomplete beta function by its continued fraction (modified Lentz).
  function betaInc(x, a, b) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - betaInc(1 - x, b, a);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
    const tiny = 1e-300;
    let c = 1;
    let d = 1 / (1 - ((a + b) * x) / (a + 1) || tiny);
    let h = d;
    for (let m = 1; m < 5000; m++) {
      for (const k of [
        (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)),
        (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)),
      ]) {
        d = 1 / (1 + k * d || tiny);
        c = 1 + k / c || tiny;
        h *= c * d;
      }
      if (Math.abs(c * d - 1) < 1e-16) break;
    }
    return front * h;
  }

  // Where an increasing function crosses zero, by halving an interval that contains the place.
  function crossing(f, low, high) {
    for (let i = 0; i < 200 && high > low; i++) {
      const middle = 0.5 * (low + high);
      if (middle === low || middle === high) break;
      if (f(middle) < 0) low = middle;
      else high = middle;
    }
    return 0.5 * (low + high);
  }

  // The two-sided quantile of t: |t| is below it with probability `level`.
  function tTwoSided(level, df) {
    const inside = (t) => 1 - betaInc(df / (df + t * t), df / 2, 0.5) - level;
    let high = 2;
    while (inside(high) < 0) high *= 2;
    return crossing(inside, 0, high);
  }

  // The probability that F(1, df) with this noncentrality exceeds the critical value: the power of a two-sided t test.
  function powerOfT(noncentrality, df, alpha) {
    const t = tTwoSided(1 - alpha, df);
    const x = (t * t) / (t * t + df);
    const half = noncentrality / 2;
    if (half === 0) return alpha;
    const term = (j) => Math.exp(j * Math.log(half) - half - logGamma(j + 1)) * betaInc(x, 0.5 + j, df / 2);
    const middle = Math.floor(half);
    let below = 0;
    for (let j = middle; j >= 0; j--) {
      const add = term(j);
      below += add;
      if (add < 1e-18 && j < middle - 10) break;
    }
    for (let j = middle + 1; j < middle + 5000; j++) {
      const add = term(j);
      below += add;
      if (add < 1e-18) break;
    }
    return Math.max(0, 1 - below);
  }

  // ---------------------------------------------------------------- 2 x 2 matrices as [a, b, c, d], row by row

  const mul = (p, q) => [
    p[0] * q[0] + p[1] * q[2], p[0] * q[1] + p[1] * q[3], p[2] * q[0] + p[3] * q[2], p[2] * q[1] + p[3] * q[3],
  ];
  const times = (p, v) => [p[0] * v[0] + p[1] * v[1], p[2] * v[0] + p[3] * v[1]];
  const det = (p) => p[0] * p[3] - p[1] * p[2];
  const inverse = (p) => {
    const d = det(p);
    return [p[3] / d, -p[1] / d, -p[2] / d, p[0] / d];
  };
  const dot = (u, v) => u[0] * v[0] + u[1] * v[1];

  // ---------------------------------------------------------------- a line for each group

  // What the formulas need of a group: Z'Z, Z'y and y'y, where Z is a column of ones and x.
  function sums(x, y) {
    const A = [0, 0, 0, 0];
    const b = [0, 0];
    let yy = 0;
    for (let i = 0; i < x.length; i++) {
      A[0] += 1;
      A[1] += x[i];
      A[3] += x[i] * x[i];
      b[0] += y[i];
      b[1] += x[i] * y[i];
      yy += y[i] * y[i];
    }
    A[2] = A[1];
    return { A, b, yy, n: x.length };
  }

  const leastSquares = (group) => times(inverse(group.A), group.b);

  function pooled(groups) {
    const A = [0, 0, 0, 0];
    const b = [0, 0];
    for (const group of groups) {
      group.A.forEach((value, i) => (A[i] += value));
      group.b.forEach((value, i) => (b[i] += value));
    }
    return times(inverse(A), b);
  }

  // y = X beta + Z u + e, u ~ N(0, sigma^2 D), e ~ N(0, sigma^2), X = Z: everything by V^-1 = I - Z D (I + Z'Z D)^-1 Z'.
  function mixed(groups, D, reml) {
    const M = [0, 0, 0, 0];
    const m = [0, 0];
    let yy = 0;
    let logDet = 0;
    let n = 0;
    const shrinkers = groups.map(({ A, b, yy: own, n: rows }) => {
      const product = mul(A, D);
      const K = [1 + product[0], product[1], product[2], 1 + product[3]];
      const back = inverse(K);
      mul(back, A).forEach((value, i) => (M[i] += value));
      times(back, b).forEach((value, i) => (m[i] += value));
      yy += own - dot(b, times(mul(D, back), b));
      logDet += Math.log(det(K));
      n += rows;
      return mul(D, back);
    });
    const beta = times(inverse(M), m);
    const free = reml === false ? n : n - 2;
    const rss = yy - dot(m, beta);
    const sigma2 = rss / free;
    const deviance = free * (1 + Math.log(2 * Math.PI * sigma2)) + logDet + (reml === false ? 0 : Math.log(det(M)));
    const lines = groups.map(({ A, b }, i) => {
      const fixed = times(A, beta);
      const u = times(shrinkers[i], [b[0] - fixed[0], b[1] - fixed[1]]);
      return [beta[0] + u[0], beta[1] + u[1]];
    });
    return { beta, sigma: Math.sqrt(sigma2), deviance, lines };
  }

  // ---------------------------------------------------------------- chance

  // Uniform numbers between 0 and 1 from a seed (mulberry32), and normal ones from pairs of them (Box and Muller).
  function generator(seed) {
    let state = seed >>> 0;
    let spare = null;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
    const normal = () => {
      if (spare !== null) {
        const value = spare;
        spare = null;
        return value;
      }
      const radius = Math.sqrt(-2 * Math.log(uniform()));
      const angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    };
    return { uniform, normal };
  }

  // One data set: `people` lines from the population, seen at x with noise.
  function study(chance, people, x, truth) {
    const [a, , c, d] = truth.D;
    const l11 = Math.sqrt(a);
    const l21 = l11 > 0 ? c / l11 : 0;
    const l22 = Math.sqrt(Math.max(d - l21 * l21, 0));
    return Array.from({ length: people }, () => {
      const z1 = chance.normal();
      const z2 = chance.normal();
      const level = truth.beta[0] + l11 * z1;
      const slope = truth.beta[1] + l21 * z1 + l22 * z2;
      return x.map((value) => level + slope * value + truth.sigma * chance.normal());
    });
  }

  // The mean slope with its standard errors: of the people's own slopes, which in a balanced design is the mixed
  // model's, and of one regression through all rows. `inside`: the mixed model's variances are off their boundary.
  function meanSlope(x, Y) {
    const groups = Y.map((y) => sums(x, y));
    const own = groups.map(leastSquares);
    const n = own.length;
    const mean = [0, 1].map((k) => own.reduce((sum, line) => sum + line[k], 0) / n);
    const cov = (j, k) => own.reduce((sum, line) => sum + (line[j] - mean[j]) * (line[k] - mean[k]), 0) / (n - 1);
    const rows = n * x.length;
    const left = (line, y) => y.reduce((sum, value, i) => sum + (value - line[0] - line[1] * x[i]) ** 2, 0);
    const s2 = Y.reduce((sum, y, g) => sum + left(own[g], y), 0) / (n * (x.length - 2));
    const noise = inverse(groups[0].A).map((value) => value * s2);
    const between = [cov(0, 0) - noise[0], cov(0, 1) - noise[1], cov(1, 0) - noise[2], cov(1, 1) - noise[3]];
    const all = Y.reduce((sum, y) => sum + left(mean, y), 0) / (rows - 2);
    const center = x.reduce((sum, value) => sum + value, 0) / x.length;
    const sxx = x.reduce((sum, value) => sum + (value - center) ** 2, 0);
    return {
      estimate: mean[1],
      se: Math.sqrt(cov(1, 1) / n),
      df: n - 1,
      sePooled: Math.sqrt(all / (n * sxx)),
      dfPooled: rows - 2,
      inside: between[0] > 0 && between[3] > 0 && det(between) > 0,
    };
  }

  // ---------------------------------------------------------------- two arms, a slope for each person

  // `n` people in each arm are seen `visits` times, at 0, 1, ...; the effect is the difference of the arms' mean slopes.
  function slopeDesign({ n, visits, effect, sdSlope, sigma, alpha }) {
    const sxx = (visits * (visits * visits - 1)) / 12;
    const variance = sdSlope * sdSlope + (sigma * sigma) / sxx;
    const se = Math.sqrt((2 * variance) / n);
    const df = 2 * n - 2;
    // The variance of slopes is estimated as zero if their mean square is below the residual's.
    const ratio = (sigma * sigma) / (sigma * sigma + sdSlope * sdSlope * sxx);
    const dfResidual = 2 * n * (visits - 2);
    const zero = betaInc((df * ratio) / (df * ratio + dfResidual), df / 2, dfResidual / 2);
    return { se, df, zero, power: powerOfT((effect / se) ** 2, df, alpha) };
  }

  function smallest(design, target, most) {
    for (let n = 2; n <= most; n++) if (slopeDesign({ ...design, n }).power >= target) return n;
    return null;
  }

  const all = {
    logGamma, betaInc, tTwoSided, powerOfT, sums, leastSquares, pooled, mixed, generator, study, meanSlope,
    slopeDesign, smallest,
  };
  if (typeof module === "object" && module.exports) module.exports = all;
  else root.mixedfxMath = all;
})(typeof window === "object" ? window : globalThis);
