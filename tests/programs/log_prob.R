# Rscript log_prob.R FOLDER: compile model.stan there, and write the log density at values.json, given data.json,
# without the Jacobians of Stan's transforms, to log_prob.txt.
folder <- commandArgs(TRUE)[1]
suppressMessages(library(rstan))
if (rstan_options("boost_lib") == "" && dir.exists("/usr/include/boost")) rstan_options(boost_lib = "/usr/include")
read <- function(name) jsonlite::fromJSON(file.path(folder, name), simplifyMatrix = TRUE)
model <- stan_model(file.path(folder, "model.stan"))
fit <- suppressMessages(suppressWarnings(sampling(model, data = read("data.json"), chains = 0)))
at <- unconstrain_pars(fit, read("values.json"))
value <- log_prob(fit, at, adjust_transform = FALSE, gradient = FALSE)
writeLines(format(value, digits = 17), file.path(folder, "log_prob.txt"))
