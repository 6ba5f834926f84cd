## make_family_references.R -- reference fits for families that tests/reference has no number for.
## Rscript make_family_references.R [REGEX]     (R packages ordinal, glmmTMB, lme4, jsonlite; deterministic; no network)
## Data are simulated here, written to data/families.csv and read back, so that every fit is of the file.
suppressWarnings(suppressPackageStartupMessages({library(ordinal); library(glmmTMB); library(lme4); library(jsonlite)}))
options(contrasts = c("contr.treatment", "contr.poly"), digits = 15)
dir.create("data", showWarnings = FALSE); dir.create("fits", showWarnings = FALSE)
SOFTWARE <- c(list(R = paste(R.version$major, R.version$minor, sep = ".")),
              sapply(c("ordinal", "glmmTMB", "TMB", "lme4"), function(p) as.character(packageVersion(p)), simplify = FALSE))

ONLY <- c(commandArgs(TRUE), ".")[1]
wanted <- function(case) grepl(ONLY, case)

## ------------------------------------------------------------------- data --
simulate_data <- function() {
  set.seed(20240607)
  m <- 40; size <- sample(6:14, m, replace = TRUE); g <- rep(seq_len(m), size); n <- length(g)
  x <- round(rnorm(n), 3); f <- sample(c("a", "b", "c"), n, replace = TRUE)
  b <- rnorm(m, 0, 0.6)[g]; b2 <- rnorm(m, 0, 0.4)[g]
  eta <- 0.3 + 0.5 * x + c(a = 0, b = 0.4, c = -0.3)[f] + b
  mu <- exp(eta)
  positive <- function(draw) { y <- draw(); while (any(y == 0)) { k <- y == 0; y[k] <- draw()[k] }; y }
  pois <- positive(function() rpois(n, mu)); nb2 <- positive(function() rnbinom(n, mu = mu, size = 1.5))
  nb1 <- positive(function() rnbinom(n, mu = mu, size = mu / 1.2))
  open <- rbinom(n, 1, plogis(0.8 - 0.7 * x))
  counts <- rpois(n, mu^0.5 / (0.9 * 0.5)); shape <- 1; scale <- 0.9 * 0.5 * mu^0.5
  trials <- sample(5:15, n, replace = TRUE); p <- plogis(eta - 0.5); pr <- rbeta(n, p * 6, (1 - p) * 6)
  wald <- function(mu, lambda) { v <- rnorm(n)^2; w <- mu + mu^2 * v / (2 * lambda) - mu / (2 * lambda) * sqrt(4 * mu * lambda * v + mu^2 * v^2)
    ifelse(runif(n) <= mu / (mu + w), w, mu^2 / w) }
  data.frame(g = paste0("g", g), x = x, f = f, trials = trials,
    rating = cut(1.2 * (eta + b2 * x) + rlogis(n), c(-Inf, -1.2, 0.3, 1.5, Inf), labels = FALSE),
    heavy = round(2 + eta + 0.7 * rt(n, 4), 6), skewed = signif(exp(eta + rnorm(n, 0, 0.5)), 7), wald = signif(wald(mu, 2), 7),
    rain = round(ifelse(counts > 0, rgamma(n, pmax(counts, 1) * shape, scale = scale), 0), 6),
    pois_positive = pois, nb2_positive = nb2, nb1_positive = nb1,
    pois_hurdle = pois * open, nb2_hurdle = nb2 * open, nb1_hurdle = nb1 * open, gamma_hurdle = signif(rgamma(n, 2, scale = mu / 2), 7) * open,
    successes = rbinom(n, trials, pr), gamma_count = rnbinom(n, mu = mu, size = mu / 1.2), zi = rnbinom(n, mu = mu, size = 1.5) * open)
}
write.csv(simulate_data(), "data/families.csv", row.names = FALSE, quote = FALSE)
D <- read.csv("data/families.csv"); D$rating <- factor(D$rating, ordered = TRUE); D$g <- factor(D$g, unique(D$g)); D$f <- factor(D$f)

## ----------------------------------------------------------------- output --
named <- function(names, estimate, se) setNames(lapply(seq_along(names), function(i) list(estimate = estimate[[i]], std_error = se[[i]])), names)
square <- function(names, m) list(names = names, matrix = unname(as.matrix(m)))
save_case <- function(case, title, formula, engine, ...) {
  out <- c(list(case = case, title = title, data = "families.csv", formula = formula, engine = engine, software = SOFTWARE), list(...))
  writeLines(toJSON(out, auto_unbox = TRUE, digits = 15, pretty = TRUE, null = "null", na = "null"), file.path("fits", paste0(case, ".json")))
  cat(sprintf("%-28s %.9f\n", case, out$loglik))
}
varcorr <- function(V) { sd <- sqrt(diag(V)); list(names = I(colnames(V)), sd = I(unname(sd)), corr = unname(cov2cor(V)), var = unname(as.matrix(V)[seq_along(sd), seq_along(sd), drop = FALSE])) }

## central differences of a gradient with one Richardson step
jacobian <- function(gr, p, h = 1e-3) { J <- sapply(seq_along(p), function(j) { step <- function(e) { a <- b <- p; a[j] <- a[j] + e; b[j] <- b[j] - e; as.vector(gr(a) - gr(b)) / (2 * e) }
  (4 * step(h / 2) - step(h)) / 3 }); (J + t(J)) / 2 }
polish <- function(p, gr) { for (i in 1:8) { g <- as.vector(gr(p)); if (max(abs(g)) < 1e-10) break; p <- p - as.vector(solve(jacobian(gr, p), g)) }; p }

## --------------------------------------------------------------- glmmTMB --
tmb_case <- function(case, title, formula, family, ziformula = ~0, dispformula = ~1, link, notes = NULL) {
  if (!wanted(case)) return(invisible())
  fit <- suppressWarnings(glmmTMB(formula, data = D, family = family, ziformula = ziformula, dispformula = dispformula,
    control = glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 2000))))
  p <- polish(fit$fit$par, fit$obj$gr); value <- fit$obj$fn(p); H <- jacobian(fit$obj$gr, p); V <- solve(H); se <- sqrt(diag(V))
  part <- function(name, labels) if (any(names(p) == name)) { k <- names(p) == name; named(labels, p[k], se[k]) }
  fx <- fixef(fit); k <- names(p) == "beta"
  sd <- exp(p[names(p) == "theta"])
  save_case(case, title, deparse1(formula), "glmmTMB", family = family$family, link = link, ziformula = deparse1(ziformula), dispformula = deparse1(dispformula),
    n_obs = nobs(fit), n_groups = list(g = nlevels(D$g)), fixef = part("beta", names(fx$cond)), vcov_fixef = square(names(fx$cond), V[k, k]),
    fixef_zi = part("betazi", names(fx$zi)), fixef_disp = part("betad", names(fx$disp)),
    parameters = list(names = names(p), values = unname(p), std_error = se), vcov_parameters = unname(V),
    varcorr = list(g = list(names = I("(Intercept)"), sd = I(unname(sd)), corr = matrix(1), var = matrix(unname(sd)^2))),
    loglik = -value, n_parameters = length(p), deviance = 2 * value,
    optimisation = list(max_abs_gradient = max(abs(fit$obj$gr(p)))), notes = notes)
}

tmb_case("student_t", "Student t, its degrees of freedom estimated", heavy ~ x + f + (1 | g), t_family(), link = "identity",
  notes = "betad: log of the scale; the last parameter before theta is the log of the degrees of freedom")
tmb_case("tweedie", "Tweedie", rain ~ x + f + (1 | g), tweedie(), link = "log",
  notes = "betad: log phi; thetaf: logit(power - 1)")
tmb_case("truncated_poisson", "Poisson without zeros", pois_positive ~ x + f + (1 | g), truncated_poisson(), link = "log")
tmb_case("truncated_nbinom2", "negative binomial 2 without zeros", nb2_positive ~ x + f + (1 | g), truncated_nbinom2(), link = "log")
tmb_case("truncated_nbinom1", "negative binomial 1 without zeros", nb1_positive ~ x + f + (1 | g), truncated_nbinom1(), link = "log")
tmb_case("hurdle_poisson", "hurdle Poisson", pois_hurdle ~ x + f + (1 | g), truncated_poisson(), ~ x, link = "log")
tmb_case("hurdle_nbinom2", "hurdle negative binomial 2", nb2_hurdle ~ x + f + (1 | g), truncated_nbinom2(), ~ x, link = "log")
tmb_case("hurdle_nbinom1", "hurdle negative binomial 1", nb1_hurdle ~ x + f + (1 | g), truncated_nbinom1(), ~ x, link = "log")
tmb_case("hurdle_gamma", "zero-inflated Gamma", gamma_hurdle ~ x + f + (1 | g), ziGamma(link = "log"), ~ x, link = "log",
  notes = "betad: log of the shape, that is minus the log of phi")
tmb_case("nbinom1_dispersion", "negative binomial 1 with a dispersion formula", gamma_count ~ x + f + (1 | g), nbinom1(), dispformula = ~ x, link = "log")
tmb_case("zinb2_dispersion", "zero-inflated negative binomial 2 with a dispersion formula", zi ~ x + (1 | g), nbinom2(), ~ x, ~ f, link = "log")
tmb_case("betabinomial_dispersion", "beta-binomial with a dispersion formula", cbind(successes, trials - successes) ~ x + f + (1 | g), betabinomial(), dispformula = ~ x, link = "logit")
tmb_case("betabinomial_probit", "beta-binomial, probit", cbind(successes, trials - successes) ~ x + f + (1 | g), betabinomial(link = "probit"), link = "probit")

## ------------------------- own Laplace approximation, one grouping factor --
## A density is a list of functions of (y, eta, phi): value, slope and curvature (second derivative) in eta.
## Parameters: beta, phi, theta = log standard deviation, or the lower triangle of the factor for (1 + x | g).
modes <- function(p, model) { k <- ncol(model$X); m <- length(model$phi); theta <- p[-seq_len(k + m)]; phi <- p[k + seq_len(m)]
  T <- if (length(theta) == 1) matrix(exp(theta)) else matrix(c(theta[1:2], 0, theta[3]), 2)
  eta <- if (k) as.vector(model$X %*% p[seq_len(k)]) else rep(0, length(model$y))
  lapply(split(seq_along(eta), D$g), function(i) { A <- model$Z[i, , drop = FALSE] %*% T; u <- rep(0, ncol(A)); y <- model$y[i]
    value <- function(u) sum(model$density$value(y, eta[i] + A %*% u, phi)) - sum(u^2) / 2
    for (step in 1:100) { e <- eta[i] + as.vector(A %*% u); g <- crossprod(A, model$density$slope(y, e, phi)) - u
      H <- diag(ncol(A)) - crossprod(A, pmin(model$density$curvature(y, e, phi), 0) * A); d <- solve(H, g); s <- 1
      while (!isTRUE(value(u + s * as.vector(d)) >= value(u) - 1e-12) && s > 1e-6) s <- s / 2
      u <- u + s * as.vector(d); if (max(abs(d)) < 1e-13) break }
    e <- eta[i] + as.vector(A %*% u); H <- diag(ncol(A)) - crossprod(A, model$density$curvature(y, e, phi) * A)
    list(u = u, value = value, H = H) }) }
laplace <- function(p, model) sum(sapply(modes(p, model), function(m) m$value(m$u) - 0.5 * as.numeric(determinant(m$H)$modulus)))
integral <- function(p, model) sum(sapply(modes(p, model), function(m) { w <- 1 / sqrt(m$H[1, 1]); top <- m$value(m$u)
  top - 0.5 * log(2 * pi) + log(w * integrate(Vectorize(function(z) exp(m$value(m$u + w * z) - top)), -12, 12, rel.tol = 1e-12, subdivisions = 400)$value) }))
maximise <- function(p, model) {
  gradient <- function(p, h = 2e-3) sapply(seq_along(p), function(j) { step <- function(h) { a <- b <- p; a[j] <- a[j] + h; b[j] <- b[j] - h; (laplace(b, model) - laplace(a, model)) / (2 * h) }
    (64 * step(h / 4) - 20 * step(h / 2) + step(h)) / 45 })
  p <- nlminb(p, function(p) { v <- laplace(p, model); if (is.finite(v)) -v else 1e10 }, control = list(rel.tol = 1e-12, iter.max = 300))$par
  for (i in 1:3) { H <- jacobian(gradient, p, 4e-3); p <- p - solve(H, gradient(p)) }
  list(p = unname(p), V = solve(H), gradient = gradient(p))
}
factor_of <- function(theta) if (length(theta) == 1) matrix(exp(theta)) else matrix(c(theta[1:2], 0, theta[3]), 2)
X <- model.matrix(~ x + f, D); Z1 <- matrix(1, nrow(D)); Z2 <- cbind(1, D$x)

wald_density <- list(
  value = function(y, eta, phi) { mu <- exp(eta); -0.5 * (log(2 * pi) + phi + 3 * log(y)) - (y - mu)^2 / (2 * exp(phi) * mu^2 * y) },
  slope = function(y, eta, phi) { mu <- exp(eta); (y - mu) / (exp(phi) * mu^2) },
  curvature = function(y, eta, phi) { mu <- exp(eta); -(2 * y - mu) / (exp(phi) * mu^2) })
if (wanted("inverse_gaussian")) {
model <- list(X = X, Z = Z1, y = D$wald, density = wald_density, phi = 1)
o <- maximise(c(0.2, 0.5, 0.5, -0.3, -0.7, -0.6), model); se <- sqrt(diag(o$V)); labels <- colnames(X)
save_case("inverse_gaussian", "inverse Gaussian with a log link", "wald ~ x + f + (1 | g)", "own Laplace approximation in R", family = "inverse_gaussian", link = "log",
  n_obs = nrow(D), n_groups = list(g = nlevels(D$g)), fixef = named(labels, o$p[1:4], se[1:4]), vcov_fixef = square(labels, o$V[1:4, 1:4]),
  parameters = list(names = c(rep("beta", 4), "log_phi", "log_sd"), values = o$p, std_error = se), vcov_parameters = o$V,
  varcorr = list(g = list(names = I("(Intercept)"), sd = I(exp(o$p[6])), corr = matrix(1), var = matrix(exp(2 * o$p[6])))),
  loglik = laplace(o$p, model), loglik_exact_integral = integral(o$p, model), n_parameters = 6, deviance = -2 * laplace(o$p, model),
  optimisation = list(max_abs_gradient = max(abs(o$gradient))))
}

## --------------------------------------------------------------- ordinal --
## phi = thresholds; F, its density f and the slope of that
distributions <- list(
  logit = list(F = plogis, f = dlogis, d = function(x) dlogis(x) * (1 - 2 * plogis(x))),
  probit = list(F = pnorm, f = dnorm, d = function(x) -x * dnorm(x)),
  cloglog = list(F = function(x) -expm1(-exp(x)), f = function(x) exp(x - exp(x)), d = function(x) exp(x - exp(x)) * (1 - exp(x))))
ordinal_density <- function(G) {
  bounds <- function(y, phi) list(c(phi, 50)[y], c(-50, phi)[y])
  probability <- function(y, eta, phi) { b <- bounds(y, phi); G$F(b[[1]] - eta) - G$F(b[[2]] - eta) }
  slope <- function(y, eta, phi) { b <- bounds(y, phi); -(G$f(b[[1]] - eta) - G$f(b[[2]] - eta)) / probability(y, eta, phi) }
  list(value = function(y, eta, phi) log(probability(y, eta, phi)), slope = slope,
    curvature = function(y, eta, phi) { b <- bounds(y, phi); (G$d(b[[1]] - eta) - G$d(b[[2]] - eta)) / probability(y, eta, phi) - slope(y, eta, phi)^2 })
}
clmm_case <- function(case, title, formula, link, Z) {
  if (!wanted(case)) return(invisible())
  ## clmm (2022.11-16) calls loglog what clm and everybody else call cloglog, F(x) = 1 - exp(-exp(x)), and vice versa
  fit <- clmm(formula, data = D, link = if (link == "cloglog") "loglog" else link, Hess = FALSE)
  S <- as.matrix(VarCorr(fit)$g)[seq_len(ncol(Z)), seq_len(ncol(Z)), drop = FALSE]
  model <- list(X = X[, -1], Z = Z, y = as.integer(D$rating), density = ordinal_density(distributions[[link]]), phi = 1:3)
  theta <- if (ncol(Z) == 1) log(S[1, 1]) / 2 else t(chol(S))[c(1, 2, 4)]
  o <- maximise(c(fit$beta, fit$alpha, theta), model); se <- sqrt(diag(o$V)); b <- names(fit$beta)
  T <- factor_of(o$p[-(1:6)]); S <- T %*% t(T); colnames(S) <- c("(Intercept)", "x")[seq_len(ncol(Z))]
  save_case(case, title, deparse1(formula), "ordinal::clmm, polished with an own Laplace approximation", family = "ordinal", link = link, n_obs = nrow(D), n_groups = list(g = nlevels(D$g)),
    fixef = named(b, o$p[1:3], se[1:3]), thresholds = named(names(fit$alpha), o$p[4:6], se[4:6]), vcov_fixef = square(b, o$V[1:3, 1:3]),
    parameters = list(names = c(rep("beta", 3), rep("threshold", 3), rep(if (ncol(Z) == 1) "log_sd" else "theta", length(theta))), values = o$p, std_error = se),
    vcov_parameters = o$V, varcorr = list(g = varcorr(S)), loglik = laplace(o$p, model), loglik_clmm = as.numeric(logLik(fit)), notes = if (link == "cloglog") "clmm has the names cloglog and loglog exchanged (clm has not); its loglog was fitted",
    loglik_exact_integral = if (ncol(Z) == 1) integral(o$p, model), n_parameters = length(o$p), deviance = -2 * laplace(o$p, model),
    optimisation = list(max_abs_gradient = max(abs(o$gradient))))
}
clmm_case("ordinal_logit", "cumulative logit", rating ~ x + f + (1 | g), "logit", Z1)
clmm_case("ordinal_probit", "cumulative probit", rating ~ x + f + (1 | g), "probit", Z1)
clmm_case("ordinal_cloglog", "cumulative complementary log-log", rating ~ x + f + (1 | g), "cloglog", Z1)
clmm_case("ordinal_slope", "cumulative logit with a random slope", rating ~ x + f + (1 + x | g), "logit", Z2)

## ------------------------------------------------ lognormal: exact by lmer --
if (wanted("lognormal")) {
fit <- lmer(log(skewed) ~ x + f + (1 | g), data = D, REML = FALSE, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10)))
V <- as.matrix(vcov(fit))
save_case("lognormal", "lognormal: Gaussian model of log y, with the Jacobian", "skewed ~ x + f + (1 | g)", "lmer", family = "lognormal", link = "log",
  n_obs = nobs(fit), n_groups = list(g = nlevels(D$g)), fixef_log_scale = named(names(fixef(fit)), fixef(fit), sqrt(diag(V))), vcov_fixef = square(rownames(V), V),
  varcorr = list(g = varcorr(VarCorr(fit)$g)), sigma = sigma(fit), loglik = as.numeric(logLik(fit)) - sum(log(D$skewed)), n_parameters = 6,
  notes = "fixef are of the mean of log y; the family's intercept is higher by sigma^2/2. Laplace is exact here.")
}
