// Run-time choice of the instruction set.
#include "ndloss/isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "kernel_table.hpp"

namespace ndloss {

#define NDLOSS_DECLARE_ISA(isa)                              \
  namespace isa {                                            \
  extern constinit const ElementwiseTable elementwise_table; \
  extern constinit const SoftmaxTables softmax_tables;       \
  extern constinit const PackTables pack_tables;             \
  extern constinit const LabelTables label_tables;           \
  extern constinit const WeightTables weight_tables;         \
  extern constinit const MarginTables margin_tables;         \
  extern constinit const VectorTables vector_tables;         \
  extern constinit const SequenceTables sequence_tables;     \
  }
NDLOSS_DECLARE_ISA(baseline)
#ifdef NDLOSS_X86_LEVELS
NDLOSS_DECLARE_ISA(avx2)
NDLOSS_DECLARE_ISA(avx512)
#endif
#undef NDLOSS_DECLARE_ISA

namespace {

constexpr KernelTable levels[] = {
    {"baseline", &baseline::elementwise_table, &baseline::softmax_tables, &baseline::pack_tables, &baseline::label_tables,
     &baseline::weight_tables, &baseline::margin_tables, &baseline::vector_tables, &baseline::sequence_tables},
#ifdef NDLOSS_X86_LEVELS
    {"avx2", &avx2::elementwise_table, &avx2::softmax_tables, &avx2::pack_tables, &avx2::label_tables, &avx2::weight_tables,
     &avx2::margin_tables, &avx2::vector_tables, &avx2::sequence_tables},
    {"avx512", &avx512::elementwise_table, &avx512::softmax_tables, &avx512::pack_tables, &avx512::label_tables,
     &avx512::weight_tables, &avx512::margin_tables, &avx512::vector_tables, &avx512::sequence_tables},
#endif
};

bool runs_here([[maybe_unused]] std::string_view name) {
#ifdef NDLOSS_X86_LEVELS
  __builtin_cpu_init();
  if (name == "avx2") {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt");
  }
  if (name == "avx512") {
    return runs_here("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return true;
}

const KernelTable& level_named(std::string_view name) {
  std::string known;
  for (const KernelTable& level : levels) {
    if (name == level.name) {
      if (!runs_here(name)) {
        throw std::invalid_argument("set_isa: '" + std::string(name) + "' cannot run on this machine");
      }
      return level;
    }
    known += (known.empty() ? "'" : ", '") + std::string(level.name) + "'";
  }
  throw std::invalid_argument("set_isa: name must be one of " + known + ", got '" + std::string(name) + "'");
}

std::atomic<const KernelTable*> active{nullptr};

const KernelTable& first_choice() {
  if (const char* forced = std::getenv("NDLOSS_ISA"); forced != nullptr && *forced != '\0') {
    return level_named(forced);
  }
  const KernelTable* best = &levels[0];
  for (const KernelTable& level : levels) {
    if (runs_here(level.name)) {
      best = &level;
    }
  }
  return *best;
}

}  // namespace

const KernelTable& active_kernels() {
  const KernelTable* table = active.load(std::memory_order_acquire);
  if (table == nullptr) {
    table = &first_choice();
    active.store(table, std::memory_order_release);
  }
  return *table;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const KernelTable& level : levels) {
    if (runs_here(level.name)) {
      names.emplace_back(level.name);
    }
  }
  return names;
}

std::string get_isa() { return active_kernels().name; }

void set_isa(std::string_view name) { active.store(&level_named(name), std::memory_order_release); }

}  // namespace ndloss
