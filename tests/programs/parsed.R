# Rscript parsed.R FOLDER: name the Stan programs of the folder that rstan's parser refuses, with its reasons.
suppressMessages(library(rstan))
for (file in list.files(commandArgs(TRUE)[1], pattern = "[.]stan$", full.names = TRUE)) {
  tryCatch(stanc(file), error = function(e) cat(basename(file), conditionMessage(e), "\n"))
}
