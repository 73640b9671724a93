// ISA levels, threads, and what this build is.
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "ndloss/isa.hpp"
#include "ndloss/threads.hpp"
#include "ndloss/version.hpp"

namespace ndloss::binding {

void bind_runtime(py::module_& m) {
  m.def("available_isas", &available_isas);
  m.def("get_isa", &get_isa);
  m.def("set_isa", [](const std::string& name) { set_isa(name); });
  m.def("get_num_threads", &get_num_threads);
  m.def("set_num_threads", &set_num_threads);
  m.def("set_local_num_threads", &set_local_num_threads);
  m.def("openmp_runtime", &openmp_runtime);
  m.attr("version") = version;
#if defined(__clang__)
  m.attr("compiler") = "clang " __clang_version__;
#elif defined(__GNUC__)
  m.attr("compiler") = "gcc " __VERSION__;
#else
  m.attr("compiler") = "unknown";
#endif
  static_cast<void>(get_isa());  // an impossible NDLOSS_ISA is said at import
}

}  // namespace ndloss::binding
