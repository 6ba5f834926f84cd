# Numbers that are compared in test_type_three.py: Rscript type_three_reference.R DATA > type_three_reference.json
# DATA is the folder of CSV files of the reference numbers (tests/reference/data). lmerTest's tests of type III where
# cells of crossed factors are empty; emmeans' joint tests where a factor is nested in another (there lmerTest compares the
# first levels within the containing factor only, which depends on the names of the levels).
suppressMessages({library(lme4); library(lmerTest); library(emmeans); library(jsonlite)})
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, lmer.df = "satterthwaite")
folder <- commandArgs(TRUE)[1]
oats <- read.csv(file.path(folder, "OatsF.csv"))
for (f in c("Block", "Variety", "nitroF")) oats[[f]] <- factor(oats[[f]])
oats$row <- seq_len(nrow(oats))
oats$x <- (oats$row * 7) %% 11 + oats$row / 10
oats$t <- factor(ifelse((oats$row * 5) %% 7 < 3, "u", "v"))
oats$level <- factor(ifelse(oats$nitroF %in% c("0", "0.2"), "low", ifelse(oats$nitroF == "0.4", "middle", "high")))
oats <- oats[oats$row %% 9 != 4, ]
holes <- oats[!(oats$Variety == "Victory" & oats$nitroF == "0.6") & !(oats$Variety == "Marvellous" & oats$nitroF == "0"), ]
crossed <- c("Variety * nitroF", "Variety * nitroF + x", "Variety * nitroF * t", "Variety * nitroF * x",
             "Variety * nitroF + Variety * t")
nested <- c("level / nitroF", "level / nitroF + x + t", "level / nitroF + Variety")
fitted <- function(fixed, data) suppressMessages(lmer(as.formula(paste("yield ~", fixed, "+ (1 | Block)")), data,
  control = lmerControl(optCtrl = list(ftol_abs = 1e-14, xtol_abs = 1e-10))))
rows <- function(table, names, columns) data.frame(term = names, df = table[[columns[1]]], den_df = table[[columns[2]]],
  F = table[[columns[3]]])
of_lmerTest <- function(fixed) { a <- suppressMessages(anova(fitted(fixed, holes), type = 3)); a <- as.data.frame(a)
  rows(a, rownames(a), c("NumDF", "DenDF", "F value")) }
of_emmeans <- function(fixed) { j <- as.data.frame(suppressMessages(joint_tests(fitted(fixed, oats))))
  rows(j, trimws(j[["model term"]]), c("df1", "df2", "F.ratio")) }
out <- list(crossed = setNames(lapply(crossed, of_lmerTest), crossed), nested = setNames(lapply(nested, of_emmeans), nested))
cat(toJSON(out, digits = 10, pretty = TRUE))
