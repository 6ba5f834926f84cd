## make_imputation_reference.R -- Rubin's rules by mitml and mice, of fits of lme4 and glmmTMB to imputed data sets; means by emmeans.
## Rscript make_imputation_reference.R     (R packages lme4, glmmTMB, mice, mitml, broom.mixed, emmeans, jsonlite; deterministic; no network)
## Data are simulated and imputed here, written to data/imputed.csv (z1 ... z6 are the imputed covariate) and read back.
suppressWarnings(suppressPackageStartupMessages({library(lme4); library(glmmTMB); library(mice); library(mitml); library(broom.mixed); library(emmeans); library(jsonlite)}))
options(digits = 15)
M <- 6
simulate_data <- function() {
  set.seed(20261130)
  m <- 24; n <- m * 10; school <- rep(seq_len(m), each = 10)
  x <- round(rnorm(n), 3); f <- sample(c("a", "b", "c"), n, replace = TRUE); z <- round(0.5 * x + rnorm(n), 3)
  y <- round(1 + 0.4 * x + 0.6 * z + c(a = 0, b = 0.5, c = -0.2)[f] + rnorm(m, 0, 0.7)[school] + z * rnorm(m, 0, 0.6)[school] + rnorm(n), 4)
  gone <- runif(n) < plogis(-0.8 + 0.8 * x)
  X <- cbind(1, x, y, f == "b", f == "c"); own <- X[!gone, ]; V <- solve(crossprod(own)); b <- V %*% crossprod(own, z[!gone])
  rest <- sum((z[!gone] - own %*% b)^2); df <- sum(!gone) - ncol(own)
  frame <- data.frame(school = paste0("s", school), x, f, y, count = rnbinom(n, mu = exp(0.4 + 0.3 * z + rnorm(m, 0, 0.6)[school]), size = 2) * rbinom(n, 1, 0.8))
  for (i in seq_len(M)) {
    s2 <- rest / rchisq(1, df); beta <- b + t(chol(V)) %*% rnorm(ncol(own)) * sqrt(s2)
    filled <- z; filled[gone] <- round(X[gone, ] %*% beta + rnorm(sum(gone)) * sqrt(s2), 3)
    frame[[paste0("z", i)]] <- filled
  }
  frame
}
write.csv(simulate_data(), "data/imputed.csv", row.names = FALSE, quote = FALSE)
D <- read.csv("data/imputed.csv"); D$school <- factor(D$school, unique(D$school)); D$f <- factor(D$f)
frames <- lapply(seq_len(M), function(i) transform(D, z = D[[paste0("z", i)]]))
as_list <- function(fits) structure(fits, class = c("mitml.result", "list"))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12))
linear <- as_list(lapply(frames, function(d) lmer(y ~ x + f + z + (z | school), data = d, control = tight)))
counts <- lapply(frames, function(d) glmmTMB(count ~ x + z + (1 | school), data = d, family = poisson))  # exact Hessians
qhat <- lapply(counts, function(fit) fixef(fit)$cond); uhat <- lapply(counts, function(fit) vcov(fit)$cond)
rubin <- function(fits, df.com = NULL) {
  found <- testEstimates(fits, df.com = df.com, extra.pars = TRUE)
  list(estimates = found$estimates[, c("Estimate", "Std.Error", "df", "RIV", "FMI")], names = rownames(found$estimates),
       extra = as.list(found$extra.pars[, 1]))
}
joint <- function(fits, constraints, df.com = NULL)
  as.list(testConstraints(fits, constraints = constraints, method = "D1", df.com = df.com)$test[1, c("F.value", "df1", "df2", "RIV")])
by_mice <- function(fits, dfcom) {
  found <- summary(pool(as.mira(unclass(fits)), dfcom = dfcom))
  found[, c("estimate", "std.error", "df")]
}
RESIDUAL <- nrow(D) - 5
out <- list(
  software = c(list(R = paste(R.version$major, R.version$minor, sep = ".")),
    sapply(c("lme4", "glmmTMB", "mice", "mitml", "emmeans"), function(p) as.character(packageVersion(p)), simplify = FALSE)),
  linear = list(z = rubin(linear), residual = rubin(linear, RESIDUAL), joint_z = joint(linear, c("fb", "fc")),
    joint_residual = joint(linear, c("fb", "fc"), RESIDUAL), joint_all = joint(linear, c("x", "fb - fc", "z"), RESIDUAL)),
  counts = list(z = list(estimates = testEstimates(qhat = qhat, uhat = uhat)$estimates[, c("Estimate", "Std.Error", "df", "RIV", "FMI")]),
    joint_z = as.list(testConstraints(qhat = qhat, uhat = uhat, constraints = c("x", "z"), method = "D1")$test[1, c("F.value", "df1", "df2")])))
out$linear$mice <- by_mice(linear, RESIDUAL)
## Terms of a model with an interaction, all cells weighted equally by sum coding; means of each fit at one grid, by Rubin's rules.
crossed <- lapply(frames, function(d) lmer(y ~ x + f * z + (z | school), data = d, control = tight, contrasts = list(f = "contr.sum")))
named <- function(b) { names(b) <- gsub(":", "_", names(b)); b }
qhat <- lapply(crossed, function(fit) named(fixef(fit))); uhat <- lapply(crossed, function(fit) { V <- as.matrix(vcov(fit)); dimnames(V) <- rep(list(names(named(fixef(fit)))), 2); V })
term <- function(rows, df.com) as.list(testConstraints(qhat = qhat, uhat = uhat, constraints = rows, method = "D1", df.com = df.com)$test[1, c("F.value", "df1", "df2")])
out$crossed$terms <- lapply(list(f = c("f1", "f2"), z = "z", "f:z" = c("f1_z", "f2_z")), function(rows) list(z = term(rows, NULL), residual = term(rows, nrow(D) - 7)))
pooled_means <- function(fits, ask) {
  each <- suppressMessages(lapply(fits, function(fit) as.data.frame(ask(emmeans(fit, "f", at = list(z = 0.5), lmer.df = "asymptotic")))))
  q <- sapply(each, function(e) e[[2]]); u <- sapply(each, function(e) e$SE^2)
  data.frame(estimate = rowMeans(q), se = sqrt(rowMeans(u) + (1 + 1 / M) * apply(q, 1, var)))
}
out$crossed$means <- pooled_means(crossed, identity); out$crossed$pairs <- pooled_means(crossed, pairs)
write_json(out, "inference/imputation.json", digits = NA, auto_unbox = TRUE, pretty = TRUE)
