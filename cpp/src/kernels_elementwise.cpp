// The elementwise kernels of one ISA.
#include "kernel_table.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

template <class... L>
constexpr ElementwiseTable table_of(TypeList<L...> /*losses*/) {
  return {.single = {elementwise_kernels<L, float>...}, .twice = {elementwise_kernels<L, double>...}};
}

}  // namespace

extern constinit const ElementwiseTable elementwise_table;
constinit const ElementwiseTable elementwise_table = table_of(ElementwiseLosses{});

}  // namespace ndloss::NDLOSS_ISA
