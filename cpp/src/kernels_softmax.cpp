// The softmax kernels of one ISA.
#include "kernels_softmax.hpp"

#include "kernel_table.hpp"

namespace ndloss::NDLOSS_ISA {

extern constinit const SoftmaxTables softmax_tables;
constinit const SoftmaxTables softmax_tables = {.single = softmax_table<float>(), .twice = softmax_table<double>()};

}  // namespace ndloss::NDLOSS_ISA
