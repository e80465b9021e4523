"""The second stage: ranking by expected watch time (Covington et al. 2016, section 4)."""
