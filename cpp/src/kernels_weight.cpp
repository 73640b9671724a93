// The weighting kernels of one ISA.
#include "kernels_weight.hpp"

#include "kernel_table.hpp"

namespace ndloss::NDLOSS_ISA {

extern constinit const WeightTables weight_tables;
constinit const WeightTables weight_tables = {.single = weight_table<float>(), .twice = weight_table<double>()};

}  // namespace ndloss::NDLOSS_ISA
