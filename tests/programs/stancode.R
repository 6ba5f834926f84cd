# Rscript stancode.R FOLDER...: for each folder with data.csv and program.R, write the Stan code of the program, or what is
# wrong with it, to stancode.txt.
suppressMessages(library(brms))
for (folder in commandArgs(TRUE)) {
  data <- read.csv(file.path(folder, "data.csv"))
  lines <- sub("^fit <- brm\\(", "fit <- make_stancode(", readLines(file.path(folder, "program.R")))
  said <- tryCatch({ eval(parse(text = lines)); as.character(fit) }, error = conditionMessage, warning = conditionMessage)
  writeLines(said, file.path(folder, "stancode.txt"))
}
