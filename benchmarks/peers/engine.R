# Fit one problem with lme4 or glmmTMB: Rscript engine.R ENGINE TASK.json; prints one line of JSON.
suppressMessages({library(jsonlite); library(lme4)})
arguments <- commandArgs(trailingOnly = TRUE)
engine <- arguments[1]
task <- fromJSON(arguments[2])
if (engine == "glmmTMB") suppressMessages(library(glmmTMB))
read <- if (requireNamespace("data.table", quietly = TRUE)) function(f) data.table::fread(f, data.table = FALSE) else read.csv
d <- read(task$csv)
for (column in task$factors) d[[column]] <- factor(d[[column]])
formula <- as.formula(task$formula)
quiet <- function(expression) suppressWarnings(suppressMessages(expression))
fit_once <- function() quiet(
  if (engine == "glmmTMB") {
    family <- switch(task$family, gaussian = gaussian(), binomial = binomial(), poisson = poisson(), nbinom2 = nbinom2())
    zi <- if (is.null(task$options$zero_inflation)) ~0 else as.formula(task$options$zero_inflation)
    glmmTMB(formula, d, family = family, REML = task$family == "gaussian", ziformula = zi)
  } else if (task$family == "gaussian") lmer(formula, d)
  else if (task$family == "nbinom2") glmer.nb(formula, d)
  else glmer(formula, d, family = task$family, nAGQ = task$nagq))
memory <- function(field) {
  line <- grep(paste0("^", field), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}
invisible(gc())
before <- memory("VmRSS")
try(writeLines("5", "/proc/self/clear_refs"), silent = TRUE)
now <- function() sum(proc.time()[c("user.self", "sys.self")])
timed <- function() { t0 <- now(); f <- fit_once(); list(time = now() - t0, fit = f) }
begin <- now()
first <- timed()
peak <- memory("VmHWM")
times <- if (first$time > task$long) first$time else numeric(0)
while (length(times) < task$repeats && (length(times) == 0 || now() - begin < task$budget)) {
  t0 <- now(); invisible(fit_once()); times <- c(times, now() - t0)
}
f <- first$fit
vc <- if (engine == "glmmTMB") VarCorr(f)$cond else VarCorr(f)
covariances <- lapply(vc, function(v) { m <- unclass(v); matrix(as.numeric(m), nrow(m)) })
beta <- if (engine == "glmmTMB") fixef(f)$cond else fixef(f)
cat(toJSON(list(times = times, peak = peak - before, loglik = as.numeric(logLik(f)), beta = unname(beta),
                covariances = covariances, sigma2 = sigma(f)^2, version = as.character(packageVersion(engine))),
           auto_unbox = FALSE, digits = NA), "\n")
