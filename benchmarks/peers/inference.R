# What inference costs in lme4 and pbkrtest: Rscript inference.R SLEEPSTUDY.csv LONG.csv FORMULA; one line of JSON.
suppressMessages({library(jsonlite); library(lme4)})
arguments <- commandArgs(trailingOnly = TRUE)
quiet <- function(expression) suppressWarnings(suppressMessages(expression))
now <- function() sum(proc.time()[c("user.self", "sys.self")])
seconds <- function(f, times) median(sapply(seq_len(times), function(i) { t0 <- now(); invisible(quiet(f())); now() - t0 }))

sleep <- read.csv(arguments[1])
sleep$Subject <- factor(sleep$Subject)
fit <- lmer(Reaction ~ Days + (Days | Subject), sleep)
ml <- lmer(Reaction ~ Days + (Days | Subject), sleep, REML = FALSE)
out <- list(
  profile = seconds(function() confint(profile(ml)), 3),
  bootstrap = seconds(function() bootMer(fit, function(f) c(fixef(f), getME(f, "theta"), sigma(f)), nsim = 200, seed = 1), 1))
if (requireNamespace("pbkrtest", quietly = TRUE)) {
  long <- read.csv(arguments[2])
  long$g <- factor(long$g)
  big <- quiet(lmer(as.formula(arguments[3]), long))
  out$kenward_roger <- seconds(function() pbkrtest::vcovAdj(big), 1)
  out$covariance <- as.matrix(quiet(pbkrtest::vcovAdj(big)))
}
out$versions <- lapply(c("lme4", if ("covariance" %in% names(out)) "pbkrtest"), function(p) paste(p, packageVersion(p)))
cat(toJSON(out, auto_unbox = TRUE, digits = NA), "\n")
