# Numbers of test_outcomes.py: Rscript outcomes_reference.R DATA > outcomes_reference.json (DATA: tests/reference/data)
suppressMessages({library(ordinal); library(glmmTMB); library(emmeans); library(jsonlite)})
emm_options(msg.interaction = FALSE)
folder <- commandArgs(TRUE)[1]
read <- function(name, factors) { d <- read.csv(file.path(folder, paste0(name, ".csv"))); for (f in factors) d[[f]] <- factor(d[[f]]); d }
table_of <- function(e) { s <- as.data.frame(summary(e, infer = c(TRUE, TRUE))); s[sapply(s, is.factor)] <- lapply(s[sapply(s, is.factor)], as.character); s }
out <- list()

ham <- read("ham", c("Consumer", "Product", "Information", "Gender"))
ham$liking <- cut(ham$Informed.liking, c(0, 4, 6, 9), labels = c("low", "middle", "high"))
fit <- clmm(liking ~ Product + Information + (1 | Consumer), ham, control = clmm.control(gradTol = 1e-8))
out$clmm_coef <- as.list(coef(fit))
out$latent <- table_of(emmeans(fit, ~ Product))
out$prob <- table_of(emmeans(fit, ~ Product | liking, mode = "prob"))
out$prob_pairs <- table_of(pairs(emmeans(fit, ~ Product | liking, mode = "prob"), adjust = "none"))
out$mean_class <- table_of(emmeans(fit, ~ Product, mode = "mean.class"))
out$mean_class_pairs <- table_of(pairs(emmeans(fit, ~ Product, mode = "mean.class")))

# means with zeros: the delta method of predict(), random effects at zero
sal <- read("Salamanders", c("site", "mined", "spp"))
grid <- data.frame(mined = c("no", "yes"), site = NA)
cells <- function(fit) { p <- predict(fit, grid, re.form = NA, type = "response", se.fit = TRUE); data.frame(mined = grid$mined, mean = p$fit, SE = p$se.fit) }
out$zi <- cells(glmmTMB(count ~ mined + (1 | site), zi = ~ mined, family = poisson, data = sal))
out$zi_nbinom2 <- cells(glmmTMB(count ~ mined + (1 | site), zi = ~ 1, family = nbinom2, data = sal))
out$hurdle <- cells(glmmTMB(count ~ mined + (1 | site), zi = ~ mined, family = truncated_poisson, data = sal))
out$hurdle_nbinom2 <- cells(glmmTMB(count ~ mined + (1 | site), zi = ~ mined, family = truncated_nbinom2, data = sal))
cat(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", dataframe = "rows"), "\n")
