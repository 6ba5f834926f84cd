# Numbers of emmeans that are compared in test_against_emmeans.py: Rscript emmeans_reference.R DATA > emmeans_reference.json
# DATA is the folder of CSV files of the reference numbers (tests/reference/data).
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(emmeans); library(jsonlite)})
emm_options(msg.interaction = FALSE, msg.nesting = FALSE)
folder <- commandArgs(TRUE)[1]
read <- function(name, factors) { d <- read.csv(file.path(folder, paste0(name, ".csv"))); for (f in factors) d[[f]] <- factor(d[[f]]); d }
both <- function(e, ...) { s <- suppressMessages(summary(e, infer = c(TRUE, TRUE), ...)); s <- as.data.frame(s); s[sapply(s, is.factor)] <- lapply(s[sapply(s, is.factor)], as.character); s }
out <- list()

oats <- read("OatsF", c("Block", "Variety", "nitroF"))
fit <- lmer(yield ~ Variety * nitroF + (1 | Block/Variety), oats)
e <- emmeans(fit, ~ nitroF, lmer.df = "satterthwaite")
set.seed(1)
out$dunnett <- both(contrast(e, "trt.vs.ctrl", adjust = "mvt"))
out$scheffe <- both(pairs(e, adjust = "scheffe"))
out$fdr <- both(pairs(e, adjust = "fdr"))
out$eff <- both(contrast(e, "eff"))
out$poly <- both(contrast(e, "poly"))
out$consec <- both(contrast(e, "consec", adjust = "none"))
out$custom <- both(contrast(e, list(first = c(1, 0, 0, -1), second = c(1, -2, 1, 0)), adjust = "sidak"))
ev <- emmeans(fit, ~ Variety * nitroF, lmer.df = "satterthwaite")
out$interaction <- both(contrast(ev, interaction = c("poly", "consec"), adjust = "none"))
out$by <- both(pairs(ev, by = "Variety"))
out$joint <- as.data.frame(joint_tests(fit, lmer.df = "satterthwaite"))
out$joint_by <- as.data.frame(joint_tests(fit, by = "Variety", lmer.df = "satterthwaite"))
out$overall <- both(emmeans(fit, ~ 1, lmer.df = "satterthwaite"))
out$less <- as.data.frame(summary(pairs(e, adjust = "none"), infer = c(FALSE, TRUE), side = "<"))

ham <- read("ham", c("Consumer", "Product", "Information", "Gender"))
ham <- ham[!(ham$Product == "1" & ham$Information == "1" & as.integer(ham$Consumer) %% 3 != 0), ]
fit <- lm(Informed.liking ~ Product * Information + Gender + Age, ham)
for (w in c("equal", "proportional", "outer", "cells", "flat")) out[[paste0("weights_", w)]] <- both(emmeans(fit, ~ Product, weights = w))
out$ham_trend <- both(emtrends(lm(Informed.liking ~ Product * log(Age) + poly(Age, 2), ham), ~ Product, var = "Age", delta.var = 1e-5 * diff(range(ham$Age))))

empty <- subset(oats, !(Variety == "Victory" & nitroF == "0.6"))
fit <- suppressMessages(lmer(yield ~ Variety * nitroF + (1 | Block), empty))
out$empty_cells <- both(emmeans(fit, ~ Variety * nitroF, lmer.df = "satterthwaite"))
out$empty_margins <- both(emmeans(fit, ~ Variety, lmer.df = "satterthwaite"))
out$empty_pairs <- both(pairs(emmeans(fit, ~ nitroF | Variety, lmer.df = "satterthwaite")))

sleep <- read("sleepstudy", "Subject")
fit <- lmer(log(Reaction) ~ Days + I(Days^2) + (1 | Subject), sleep)
e <- emmeans(fit, ~ Days, at = list(Days = c(0, 9)), lmer.df = "satterthwaite")
out$log_response <- both(e, type = "response")
out$log_pairs <- both(pairs(e), type = "response")
out$quadratic_trend <- both(emtrends(fit, ~ Days, var = "Days", at = list(Days = c(1, 6)), lmer.df = "satterthwaite", delta.var = 1e-5))

owls <- read("Owls", c("Nest", "FoodTreatment", "SexParent"))
fit <- glm(SiblingNegotiation ~ FoodTreatment * SexParent + offset(logBroodSize), poisson, owls)
out$offset <- both(emmeans(fit, ~ FoodTreatment), type = "response")
out$offset_ratio <- both(pairs(emmeans(fit, ~ FoodTreatment | SexParent)), type = "response")
fit <- glm(cbind(incidence, size - incidence) ~ factor(period), binomial("probit"), read("cbpp", "herd"))
out$probit <- both(emmeans(fit, ~ period), type = "response")
out$probit_pairs <- both(pairs(emmeans(fit, ~ period)), type = "response")
cat(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", pretty = FALSE, dataframe = "rows"), "\n")
