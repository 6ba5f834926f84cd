# Smooths against mgcv: Rscript smooths_reference.R > smooths_reference.json
# Data are simulated here. For each case: the fit (REML or ML), and fits at fixed smoothing parameters, a tenth and ten
# times those of the fit, with the score, every term's values in the rows and its penalty b'Sb: what is needed to find
# the same smoothing parameters in another parametrisation.
suppressMessages({library(mgcv); library(jsonlite)})
set.seed(20)
control <- gam.control(epsilon = 1e-12, newton = list(conv.tol = 1e-9))

penalties <- function(fit) sapply(fit$smooth, function(s) {
  b <- coef(fit)[s$first.para:s$last.para]
  as.numeric(t(b) %*% s$S[[1]] %*% b)
})
at <- function(formula, data, family, method, sp) {
  fit <- gam(formula, data = data, family = family, method = method, sp = sp, control = control)
  list(sp = as.numeric(sp), score = as.numeric(fit$gcv.ubre), penalties = penalties(fit),
       terms = unname(predict(fit, type = "terms")[, sapply(fit$smooth, `[[`, "label"), drop = FALSE]))
}
case <- function(formula, data, ours, family = gaussian(), method = "REML", newdata = NULL) {
  fit <- gam(formula, data = data, family = family, method = method, control = control)
  table <- summary(fit)$s.table
  pred <- predict(fit, se.fit = TRUE)
  out <- list(formula = ours, method = method, family = fit$family$family, data = data,
       labels = rownames(table), fitted = unname(as.numeric(fitted(fit))), se = unname(as.numeric(pred$se.fit)),
       coefficients = as.list(coef(fit)[seq_len(fit$nsdf)]),
       sig2 = fit$sig2, edf = unname(table[, 1]), ref_df = unname(table[, 2]), statistic = unname(table[, 3]),
       pvalue = unname(table[, 4]), df_residual = fit$df.residual,
       low = at(formula, data, family, method, fit$sp / 10), high = at(formula, data, family, method, fit$sp * 10))
  if (!is.null(newdata)) out <- c(out, list(newdata = newdata, predicted = unname(as.numeric(predict(fit, newdata)))))
  out
}
cases <- list()
x <- runif(120, -2, 7)
d <- data.frame(x = x, y = sin(x) + 0.3 * x + rnorm(120, 0, 0.4))
new <- data.frame(x = c(-3.5, -2, 0, 3.3, 7, 8))
cases$cr <- case(y ~ s(x, bs = "cr"), d, "y ~ s(x)", newdata = new)
x <- round(rexp(150, 0.5), 1)
d <- data.frame(x = x, y = exp(-x) * 3 + cos(x) + rnorm(150, 0, 0.3))
cases$tp <- case(y ~ s(x, bs = "tp", k = 12), d, "y ~ s(x, k=12, bs='tp')", newdata = data.frame(x = c(0.05, 4.2, max(x) + 1)))
x <- 1000 + 50 * rbeta(100, 2, 2)
d <- data.frame(x = x, y = 20 * dnorm(x, 1025, 4) + rnorm(100, 0, 0.3))
cases$ps <- case(y ~ s(x, bs = "ps", k = 15), d, "y ~ s(x, k=15, bs='ps')", newdata = data.frame(x = c(990, 1003, 1025, 1060)))
f <- factor(sample(c("a", "b", "c"), 240, TRUE)); x <- runif(240)
d <- data.frame(x = x, f = f, y = c(a = 0, b = 1, c = -1)[f] + ifelse(f == "a", sin(6 * x), ifelse(f == "b", 2 * x^3, 4 * (x - .5)^2)) + rnorm(240, 0, 0.3))
cases$by <- case(y ~ f + s(x, bs = "cr", by = f), d, "y ~ f + s(x, by=f)")
g <- factor(sample(sprintf("g%02d", 1:15), 300, TRUE)); x <- runif(300); z <- rnorm(300)
d <- data.frame(x = x, z = z, g = g, y = sin(7 * x) + 0.5 * z^2 * (z > 0) + rnorm(15, 0, 0.5)[g] + rnorm(300, 0, 0.5))
cases$several <- case(y ~ s(x, bs = "cr", k = 12) + s(z, bs = "ps", k = 10) + s(g, bs = "re"), d, "y ~ s(x, k=12) + s(z, bs='ps') + (1 | g)")
x <- runif(200, 0, 3); d <- data.frame(x = x, y = rpois(200, exp(0.5 + sin(3 * x))))
cases$poisson <- case(y ~ s(x, bs = "cr"), d, "y ~ s(x)", poisson(), "ML")
x <- runif(300, 0, 3); w <- rnorm(300)
d <- data.frame(x = x, w = w, y = rbinom(300, 1, plogis(1.5 * sin(3 * x) + 0.4 * w)))
cases$binomial <- case(y ~ w + s(x, bs = "ps"), d, "y ~ w + s(x, bs='ps')", binomial(), "ML")
x <- runif(90); d <- data.frame(x = x, y = x^2 + rnorm(90, 0, 0.1))
cases$ml <- case(y ~ s(x, bs = "cr", k = 8), d, "y ~ s(x, k=8)", method = "ML")
x <- runif(100); d <- data.frame(x = x, y = 1 + 2 * x + rnorm(100, 0, 0.5))
cases$line <- case(y ~ s(x, bs = "tp"), d, "y ~ s(x, bs='tp')")
x <- runif(80); d <- data.frame(x = x, y = 0.35 * sin(6 * x) + rnorm(80, 0, 0.8))
cases$weak <- case(y ~ s(x, bs = "cr"), d, "y ~ s(x)")
x <- runif(120); d <- data.frame(x = x, y = rpois(120, exp(1 + 0.2 * cos(7 * x))))
cases$weak_poisson <- case(y ~ s(x, bs = "ps", k = 8), d, "y ~ s(x, k=8, bs='ps')", poisson(), "ML")
x <- runif(200, 0, 3); z <- rnorm(200, 1)
d <- data.frame(x = x, z = z, y = sin(2 * x) + z * (1 + cos(2 * x)) + rnorm(200, 0, 0.4))
cases$coefficient <- case(y ~ s(x, bs = "cr") + s(x, bs = "tp", by = z), d, "y ~ s(x) + s(x, by=z, bs='tp')",
  newdata = data.frame(x = c(-1, 0.5, 3.5), z = c(0, 2, -1)))
x <- runif(200, 0, 3); z <- runif(200); d <- data.frame(x = x, z = z, y = rpois(200, exp(0.5 + z * sin(3 * x))))
cases$poisson_coefficient <- case(y ~ s(x, bs = "cr", by = z), d, "y ~ s(x, by=z)", poisson(), "ML")
cat(toJSON(cases, digits = NA, auto_unbox = TRUE))
