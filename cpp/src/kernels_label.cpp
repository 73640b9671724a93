// The label kernels of one ISA.
#include "kernels_nll_fold.hpp"

#include "kernel_table.hpp"

namespace ndloss::NDLOSS_ISA {

extern constinit const LabelTables label_tables;
constinit const LabelTables label_tables = {
    .sort = sort,
    .sum = sum,
    .single = {.pick = pick<float>, .likelihood = likelihood<float>, .fold = fold<float>},
    .twice = {.pick = pick<double>, .likelihood = likelihood<double>, .fold = fold<double>},
};

}  // namespace ndloss::NDLOSS_ISA
