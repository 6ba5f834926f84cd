# Numbers that are compared in test_nesting.py: Rscript nesting_reference.R DATA > nesting_reference.json
# DATA is the folder of CSV files of the reference numbers (tests/reference/data).
suppressMessages({library(emmeans); library(jsonlite)})
emm_options(msg.interaction = FALSE, msg.nesting = FALSE)
folder <- commandArgs(TRUE)[1]
oats <- read.csv(file.path(folder, "OatsF.csv"))
row <- seq_len(nrow(oats))
oats$x <- (row * 7) %% 11 + row / 10
oats$t <- ifelse((row * 5) %% 7 < 3, "u", "v")
oats$level <- ifelse(oats$nitroF %in% c("0", "0.2"), "low", ifelse(oats$nitroF == "0.4", "middle", "high"))
oats$plot <- paste0("p", (row * 3) %% 4)
oats <- oats[row %% 9 != 4, ]
for (f in c("Block", "Variety", "nitroF", "t", "level", "plot")) oats[[f]] <- factor(oats[[f]])
names(oats)[names(oats) == "nitroF"] <- "dose"
plain <- function(e) { d <- as.data.frame(suppressMessages(summary(e))); d[sapply(d, is.factor)] <- lapply(d[sapply(d, is.factor)], as.character); d }
joint <- function(...) { d <- as.data.frame(suppressMessages(joint_tests(...))); names(d)[names(d) == "model term"] <- "term"
  d$term <- trimws(d$term); d <- d[d$term != "(confounded)", ]; d[sapply(d, is.factor)] <- lapply(d[sapply(d, is.factor)], as.character)
  d[setdiff(names(d), "note")] }
formulas <- c("level / dose", "level + dose + x", "dose + level", "t * (level / dose)", "Variety / t", "Variety / t + x",
              "t / level / dose", "Variety * t + Variety:t:plot", "Variety + level / dose", "level / dose + level:x + x")
fit <- function(f) lm(as.formula(paste("yield ~", f)), oats)
out <- list(joint = setNames(lapply(formulas, function(f) joint(fit(f))), formulas))
out$joint_by <- joint(fit("t * (level / dose)"), by = "t")
out$joint_means <- joint(emmeans(fit("level / dose + x"), "dose"))
out$joint_override <- joint(ref_grid(fit("Variety * t"), nesting = "t %in% Variety"))
slopes <- fit("x * dose + level")
for (s in list(level = "level", dose = "dose", overall = "1")) out[[paste0("trend_", s)]] <- plain(emtrends(slopes, as.formula(paste("~", s)), var = "x"))
repeated <- fit("Variety / t")
out$repeated_t <- plain(emmeans(repeated, "t"))
out$repeated_Variety <- plain(emmeans(repeated, "Variety"))
several <- fit("Variety * t + Variety:t:plot")
out$several_plot <- plain(emmeans(several, "plot"))
out$several_t <- plain(emmeans(several, "t"))
out$override_t <- plain(emmeans(fit("Variety * t"), "t", nesting = "t %in% Variety"))
cat(toJSON(out, digits = 10, pretty = TRUE))
