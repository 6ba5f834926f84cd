## make_robust_reference.R -- cluster-robust covariances and tests by clubSandwich, of linear mixed models of lme4 and nlme.
## Rscript make_robust_reference.R     (R packages lme4, nlme, clubSandwich, jsonlite; deterministic; no network)
## Data are simulated here, written to data/robust.csv and read back: schools of very different size in 14 districts.
suppressWarnings(suppressPackageStartupMessages({library(lme4); library(nlme); library(clubSandwich); library(jsonlite)}))
options(digits = 15, contrasts = c("contr.treatment", "contr.poly"))
simulate_data <- function() {
  set.seed(20261201)
  schools <- 30; size <- sample(3:12, schools, replace = TRUE); school <- rep(seq_len(schools), size); n <- length(school)
  district <- sample(rep(seq_len(14), length.out = schools))[school]
  x <- round(rnorm(n) + rnorm(schools)[school], 3); f <- sample(c("a", "b", "c"), n, replace = TRUE)
  policy <- c("new", "old")[1 + (district > 5)]; week <- ave(school, school, FUN = seq_along); w <- round(runif(n, 0.5, 2), 2)
  y <- round(2 + 0.5 * x + c(a = 0, b = 0.4, c = -0.3)[f] + 0.5 * (policy == "new") + rnorm(14, 0, 0.5)[district] +
    rnorm(schools, 0, 0.6)[school] + x * rnorm(schools, 0, 0.4)[school] + rnorm(n) * exp(0.3 * x), 4)
  data.frame(district = paste0("d", district), school = paste0("s", school), x, f, policy, week, w, y)
}
write.csv(simulate_data(), "data/robust.csv", row.names = FALSE, quote = FALSE)
D <- read.csv("data/robust.csv"); D$policy <- factor(D$policy); D$f <- factor(D$f)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12))
tests <- function(fit, cluster, kinds = c("CR0", "CR1", "CR2"), joint = list(f = c("fb", "fc"), all = c("x", "fb", "fc", "policyold"))) {
  names <- if (inherits(fit, "merMod")) names(fixef(fit)) else names(coef(summary(fit))[, 1])
  one <- function(kind) {
    V <- vcovCR(fit, cluster = cluster, type = kind)
    single <- coef_test(fit, vcov = V, test = "Satterthwaite")
    wald <- function(which) as.list(Wald_test(fit, constraints = constrain_zero(match(which, names), coefs = if (inherits(fit, "merMod")) fixef(fit) else fixed_of(fit)), vcov = V, test = "HTZ")[1, c("Fstat", "df_num", "df_denom", "p_val")])
    list(vcov = unclass(as.matrix(V))[seq_along(names), seq_along(names)], se = single$SE, df = single$df_Satt, p = single$p_Satt, joint = lapply(joint, wald))
  }
  list(names = names, kinds = sapply(kinds, one, simplify = FALSE))
}
fixed_of <- function(fit) if (inherits(fit, "lme")) nlme::fixef(fit) else coef(fit)
cases <- list(
  intercept = tests(lmer(y ~ x + f + policy + (1 | school), D, control = tight), D$school),
  slope = tests(lmer(y ~ x + f + policy + (x | school), D, control = tight), D$school),
  ml = tests(lmer(y ~ x + f + policy + (1 | school), D, REML = FALSE, control = tight), D$school),
  above = tests(lmer(y ~ x + f + policy + (1 | school), D, control = tight), D$district),
  nested = tests(lmer(y ~ x + f + policy + (1 | district / school), D, control = tight), D$district),
  serial = tests(lme(y ~ x + f + policy, random = ~ 1 | school, correlation = corAR1(form = ~ week | school), data = D,
    control = lmeControl(msTol = 1e-12, tolerance = 1e-12, returnObject = TRUE)), D$school),
  strata = tests(gls(y ~ x + f + policy, weights = varIdent(form = ~ 1 | f), data = D, control = glsControl(msTol = 1e-12, tolerance = 1e-12)), D$school)
)
out <- list(software = c(list(R = paste(R.version$major, R.version$minor, sep = ".")),
  sapply(c("lme4", "nlme", "clubSandwich"), function(p) as.character(packageVersion(p)), simplify = FALSE)), cases = cases)
write_json(out, "inference/robust.json", digits = NA, auto_unbox = TRUE, pretty = TRUE)
